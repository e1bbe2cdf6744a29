#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The disk over iSCSI: a real tgtd with dist/iscsi/tgt.conf in a network of its own, read and written by QEMU's client and
# by a guest with Linux's initiator, which mounts the NTFS and the ext4 in the VHDX in it. UNMAP and SYNCHRONIZE CACHE
# reach the partition. The same with the kernel's own target, set up by dist/iscsi/lio, in a guest. Then libiscsi's tests,
# against the disk and against a plain file: see iscsi-results.
# test: timeout=500 quick=no
if [[ -z ${VHDXFS_NETWORK-} ]]; then
    VHDXFS_NETWORK=1 exec unshare --net "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../e2e/lib.sh"
need tgtd tgtadm tgt-admin iscsi-test-cu iscsistart qemu-img qemu-io ip mkntfs
qemu-img --help | grep -qw iscsi || skip "this qemu-img has no iSCSI (package qemu-block-extra)"
ip link set lo up

iqn=iqn.2004-04.com.example:vhdxfs
user=vhdxfs password=change-me-now
url="iscsi://$user%$password@127.0.0.1/$iqn/1"
fs=$((128 * MiB)) disk=$((256 * MiB))

# --- the target ------------------------------------------------------------------------

export TGT_IPC_SOCKET=$SCRATCH/tgtd # not the system's own

# SIGTERM does not end a tgtd that has targets; this does, with all its connections.
end_tgtd() {
    alive "$tgtd" || return 0
    tgtadm --op update --mode sys --name State -v offline || true
    tgt-admin --offline ALL >/dev/null 2>&1 || true
    tgt-admin --delete ALL --force >/dev/null 2>&1 || true
    tgtadm --op delete --mode system || true
    wait_until 5 dead "$tgtd" || kill -KILL "$tgtd"
    wait "$tgtd" 2>/dev/null || true
}

new_tgtd() {
    tgtd -D --iscsi portal=127.0.0.1:3260 >"$SCRATCH/tgtd.log" 2>&1 &
    tgtd=$!
    defer end_tgtd
    wait_until "$DEADLINE" tgtadm --op show --mode sys >/dev/null || fail "tgtd: $(cat "$SCRATCH/tgtd.log")"
}

# target NAME FILE: dist's definition with our name and file, for any initiator.
target() {
    sed -e "s|iqn.2004-04.com.example:vhdxfs|$1|; s|/srv/vhdx/disk.img|$2|; s|^\( *initiator-address\).*|\1 ALL|" \
        "$SRC/dist/iscsi/tgt.conf" >"$SCRATCH/tgt.conf"
    tgt-admin --conf "$SCRATCH/tgt.conf" --update "$1" || fail "tgt-admin: $(cat "$SCRATCH/tgtd.log")"
    tgtadm --lld iscsi --op show --mode target | grep -q "Backing store path: $2" || fail "no such target: $1 $2"
}
no_target() { tgt-admin --delete "$1" --force; }

requests() { grep -c ": $1, inode " "$SERVE_LOG" || true; }

# --- an ext4 in the first half of the partition; the second half is for raw data -----------

new_disk "$disk"
part=$LOOP image=$IMAGE
mke2fs -q -F -t ext4 -b 4096 -E nodiscard "$part" $((fs / MiB))M
new_dir mnt
mnt=$DIR
head -c 8M /dev/urandom >"$SCRATCH/from-linux"
head -c 8M /dev/urandom >"$SCRATCH/from-guest"
mount "$part" "$mnt"
cp "$SCRATCH/from-linux" "$mnt"
umount "$mnt"
vhdx_geometry "$disk" "$MiB"
new_dir export
serve -d -o disk "$part" "$DIR" # each request is in the log
export=$DIR
at=$(place_on_disk "$export/disk.img" $VHDX_SIZE)
cmp -n 8 -i "$at:0" "$export/disk.img" <(echo vhdxfile) || fail "no VHDX at $at"
payload=$((at + P))
raw=$((payload + fs)) # the second half
wait_until "$DEADLINE" device_free "$part"
new_tgtd
target "$iqn" "$export/disk.img"
expect_fail any "already mounted|busy|can't open blockdev" mount "$part" "$mnt"

# --- QEMU's client ----------------------------------------------------------------------

note "without the password there is nothing"
expect_fail any 'fail|denied|auth' qemu-img info "iscsi://127.0.0.1/$iqn/1"
note "reads and writes by QEMU"
expect_equal "the disk's size" "$(qemu-img info --output=json "$url" | jq '."virtual-size"')" \
    "$(stat -c %s "$export/disk.img")"
window() { # OFFSET SIZE: of the iSCSI disk
    printf %s "driver=raw,offset=$1,size=$2,file.driver=iscsi,file.transport=tcp,file.portal=127.0.0.1:3260," \
        "file.target=$iqn,file.lun=1,file.user=$user,file.password-secret=key"
}
secret=(--object "secret,id=key,data=$password")
head -c 64M /dev/urandom >"$SCRATCH/data"
start=${EPOCHREALTIME/./}
qemu-img convert -n -f raw "${secret[@]}" --target-image-opts "$SCRATCH/data" "$(window $raw $((64 * MiB)))"
written=${EPOCHREALTIME/./}
cmp -n $((64 * MiB)) -i "$fs:0" "$part" "$SCRATCH/data" || fail "what was written is not on the partition"
between=${EPOCHREALTIME/./}
qemu-img convert -O raw "${secret[@]}" --image-opts "$(window $raw $((64 * MiB)))" "$SCRATCH/back"
note "64 MiB written in $(((written - start) / 1000)) ms, read in $(((${EPOCHREALTIME/./} - between) / 1000)) ms"
same_bytes "$SCRATCH/back" "$SCRATCH/data"

note "a flush is a flush, and nothing else is"
# The cache mode "unsafe" leaves the flushes out that QEMU would do by itself.
log_caught_up
before=$(requests FSYNC)
qemu-io -f raw -t unsafe -c "write -P 7 $raw 1M" "$url" >/dev/null
log_caught_up
expect_equal "flushes by a write" "$(requests FSYNC)" "$before"
qemu-io -f raw -t none -c "write -P 8 $raw 1M" -c flush "$url" >/dev/null
log_caught_up
(($(requests FSYNC) > before)) || fail "SYNCHRONIZE CACHE became no fsync"
note "$(($(requests FSYNC) - before)) fsync"

note "UNMAP gives space back, and reads as zeros"
allocated() { stat -c %b "$image"; }
before=$(allocated)
discards=$(requests FALLOCATE)
qemu-io -f raw -d unmap -c "discard $raw 32M" -c flush "$url" >/dev/null
log_caught_up
(($(requests FALLOCATE) > discards)) || fail "UNMAP did not arrive"
(($(allocated) < before - 60000)) || fail "UNMAP gave nothing back: $before, $(allocated) blocks"
note "$(((before - $(allocated)) / 2048)) MiB given back"
cmp -n $((32 * MiB)) -i "$fs:0" "$part" /dev/zero || fail "unmapped, and not zero"
cmp -n $((32 * MiB)) -i "$((fs + 32 * MiB)):$((32 * MiB))" "$part" "$SCRATCH/data" || fail "UNMAP went too far"

# --- a guest with Linux's initiator ---------------------------------------------------------

cat >"$SCRATCH/guest" <<'END'
#!/bin/bash
set -euo pipefail
fail() { echo "FAIL: $*"; exit 1; }
wait_for() { for ((i = 0; i < 200; i++)); do "$@" && return; sleep 0.05; done; fail "$*"; }
ifconfig lo up
wait_for test -e /sys/class/net/eth0
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
iscsistart -i iqn.2004-04.com.example:guest -t "$IQN" -g 1 -a 10.0.2.2 -u "$USER" -w "$PASSWORD" ||
    fail "iscsistart: $?"
wait_for test -b /dev/sda1
echo "the guest sees: $(cat /sys/block/sda/device/{vendor,model} | tr -s ' \n' ' ')"
grep -q write.back /sys/class/scsi_disk/*/cache_type || fail "no write cache, so no flushes: $(cat /sys/class/scsi_disk/*/cache_type)"
[[ $(cat /sys/block/sda/queue/discard_max_bytes) -gt 0 ]] || fail "no UNMAP"
mkdir /ntfs /ext4
mount -t ntfs3 /dev/sda1 /ntfs
[[ $(head -c 8 /ntfs/ext4.vhdx) == vhdxfile ]] || fail "no VHDX in the NTFS: $(ls -la /ntfs)"
[[ $(stat -c %s /ntfs/ext4.vhdx) == "$SIZE" ]] || fail "the VHDX has another size"
losetup -o "$P" /dev/loop0 /ntfs/ext4.vhdx
mount -t ext4 /dev/loop0 /ext4
cmp /ext4/from-linux /from-linux || fail "the file in the ext4"
cp /from-guest /ext4/from-guest
sync
umount /ext4
losetup -d /dev/loop0
echo "beside it" >/ntfs/beside.txt
umount /ntfs
# As a logout: SYNCHRONIZE CACHE, and the disk is gone.
echo 1 >/sys/block/sda/device/delete
! dmesg | grep -E 'I/O error|Sense Key|EXT4-fs (error|warning)|ntfs3.*(corrupt|fail|Mark volume)' || fail "the kernel complains"
END
run_guest() { # SCRIPT [options of the harness]
    local rc=0 script=$1
    shift
    "$SRC/tests/guest/run" --timeout 200 --module iscsi_tcp --module sd_mod --module virtio_net --module ntfs3 \
        --module ext4 --program iscsistart --program cmp --env "P=$P" --env "SIZE=$VHDX_SIZE" --env "IQN=$iqn" \
        --env "USER=$user" --env "PASSWORD=$password" "$@" "$script" || rc=$?
    if ((rc == 77)); then exit 77; fi
    ((rc == 0)) || fail "the guest failed"
}
note "a guest with iscsi_tcp and ntfs3"
before=$(requests FSYNC)
run_guest "$SCRATCH/guest" --qemu -netdev --qemu user,id=net --qemu -device --qemu virtio-net-pci,netdev=net,romfile= \
    --file "$SCRATCH/from-linux" --file "$SCRATCH/from-guest"
log_caught_up
note "$(($(requests FSYNC) - before)) fsync by the guest"
(($(requests FSYNC) > before)) || fail "the guest's flushes did not arrive"

note "without a target the partition is Linux's again"
no_target "$iqn"
wait_until "$DEADLINE" device_free "$part" || fail "the partition was not given back"
fsck_clean "$part"
mount -o ro "$part" "$mnt"
same_bytes "$mnt/from-linux" "$SCRATCH/from-linux"
same_bytes "$mnt/from-guest" "$SCRATCH/from-guest"
umount "$mnt"
stop_serving

# --- the kernel's own target, in a guest ------------------------------------------------------

cat >"$SCRATCH/guest-lio" <<'END'
#!/bin/bash
set -euo pipefail
fail() { echo "FAIL: $*"; grep -vE '(request|reply) [0-9]+: ' /tmp/log | sed 's/^/[vhdxfs] /'; exit 1; }
wait_for() { for ((i = 0; i < 200; i++)); do "$@" && return; sleep 0.05; done; fail "$*"; }
more() { (($(grep -c ": $1, inode " /tmp/log) > $2)); } # a thread of the daemon's own writes its log
ifconfig lo up
mkdir /state /export /ext4 /ntfs
vhdxfs -d --pidfile=/run/pid -o state=/state,disk /dev/vda /export >/tmp/log 2>&1 &
pid=$!
wait_for test -s /run/pid
mount -t configfs configfs /sys/kernel/config
me=iqn.2004-04.com.example:guest
! echo "$PASSWORD" | lio start /nothing "$IQN" $me "$USER" 2>/tmp/err || fail "a target without an image"
! echo "$PASSWORD" | lio start /state "$IQN" $me "$USER" 2>/tmp/err || fail "a target on a directory"
echo "$PASSWORD" | lio start /export/disk.img "$IQN" $me "$USER" 127.0.0.1 || fail "lio start: $?"
! mount -t ext4 /dev/vda /ext4 2>/dev/null || fail "the partition is mounted beside the target"
! iscsistart -i $me -t "$IQN" -g 1 -a 127.0.0.1 -u "$USER" -w "not-$PASSWORD" >/tmp/err 2>&1 || fail "any password will do"
iscsistart -i $me -t "$IQN" -g 1 -a 127.0.0.1 -u "$USER" -w "$PASSWORD" >/tmp/err 2>&1 || fail "iscsistart: $(cat /tmp/err)"
wait_for test -b /dev/sda1
echo "by LIO: $(cat /sys/block/sda/device/{vendor,model} | tr -s ' \n' ' ')"
grep -q write.back /sys/class/scsi_disk/*/cache_type || fail "no write cache, so no flushes"
mount -t ntfs3 /dev/sda1 /ntfs
losetup -o "$P" /dev/loop0 /ntfs/ext4.vhdx
mount -t ext4 /dev/loop0 /ext4
cmp /ext4/from-linux /from-linux || fail "the file in the ext4"
before=$(grep -c ': FSYNC, inode ' /tmp/log || true)
cp /from-guest /ext4/by-lio
sync
umount /ext4
losetup -d /dev/loop0
umount /ntfs
wait_for more FSYNC "$before"
blkdiscard -f -o "$((RAW + (32 << 20)))" -l $((16 << 20)) /dev/sda || fail "blkdiscard: $(dmesg | tail)"
wait_for more FALLOCATE 0
echo 1 >/sys/block/sda/device/delete
# The session stays, as of an initiator that was switched off.
lio stop "$IQN"
wait_for mount -t ext4 /dev/vda /ext4
umount /ext4
kill "$pid"
wait "$pid" || fail "exit code $? of vhdxfs"
END
note "LIO, in a guest"
run_guest "$SCRATCH/guest-lio" --module iscsi_target_mod --module target_core_file --program "$VHDXFS" --program mkntfs \
    --program blkdiscard --program "$SRC/dist/iscsi/lio" --disk "$image" --env "RAW=$raw" \
    --file "$SCRATCH/from-linux" --file "$SCRATCH/from-guest"
blockdev --flushbufs "$part"
fsck_clean "$part"
mount -o ro "$part" "$mnt"
same_bytes "$mnt/by-lio" "$SCRATCH/from-guest"
umount "$mnt"
cmp -n $((48 * MiB)) -i "$fs:0" "$part" /dev/zero || fail "unmapped, and not zero"
cmp -n $((16 * MiB)) -i "$((fs + 48 * MiB)):$((48 * MiB))" "$part" "$SCRATCH/data" || fail "UNMAP went too far"

# --- libiscsi's tests -------------------------------------------------------------------------

# Against the disk, and against a plain file of the same size behind the same tgtd: what fails there is tgtd's or the
# test's own. They overwrite the partition table; that closes the fence, and the partition must stay as it is.
note "iscsi-test-cu"
sync "$image"
cp --sparse=always "$image" "$SCRATCH/before"
serve --reset-disk -o disk "$part" "$export"
truncate -s "$(stat -c %s "$export/disk.img")" "$SCRATCH/plain.img"
plain=iqn.2004-04.com.example:plain
target "$iqn" "$export/disk.img"
target "$plain" "$SCRATCH/plain.img"

# Prints "SUITE.TEST passed|failed|skipped" of each, in order.
results() {
    awk '
        /^Suite: / { suite = $2 }
        /^ *Test: / { test = $2; skipped = 0 }
        /\[SKIPPED\]/ { skipped = 1 }
        /passed$/ { print suite "." test, skipped ? "skipped" : "passed" }
        /FAILED$/ { print suite "." test, "failed" }' "$1"
}
test_cu() { # TARGET: into $SCRATCH/results.TARGET
    local family log=$SCRATCH/log.${1##*:}
    for family in LINUX iSCSI; do
        # Exit code 1: some test failed, which is for us to judge.
        (cd "$SCRATCH" && timeout 100 iscsi-test-cu --dataloss --verbose --test="$family" \
            "iscsi://$user%$password@127.0.0.1/$1/1") >"$log" 2>&1 </dev/null || (($? == 1))
        grep -q 'Tests completed' "$log"
        results "$log"
    done >"$SCRATCH/results.${1##*:}"
}
test_cu "$plain" &
test_cu "$iqn" || fail "iscsi-test-cu did not end: $(tail -n 5 "$SCRATCH/log.vhdxfs")"
wait $! || fail "iscsi-test-cu did not end: $(tail -n 5 "$SCRATCH/log.plain")"
sort "$SCRATCH/results.vhdxfs" >"$SCRATCH/disk"
sort "$SCRATCH/results.plain" >"$SCRATCH/plain"
expect_equal "the tests run" "$(cut -d ' ' -f 1 "$SCRATCH/disk")" "$(cut -d ' ' -f 1 "$SCRATCH/plain")"
passed=$(grep -c 'passed$' "$SCRATCH/disk")
note "$passed of $(wc -l <"$SCRATCH/disk") pass on the disk, $(grep -c 'passed$' "$SCRATCH/plain") on a plain file"
((passed > 100)) || fail "too few pass: $(grep -v 'passed$' "$SCRATCH/disk")"
join "$SCRATCH/disk" "$SCRATCH/plain" | awk '$2 != $3' >"$SCRATCH/differ"
sed -n 's/^differs: //p' "$SRC/tests/guest/iscsi-results" | sort | diff - "$SCRATCH/differ" ||
    fail "other differences than tests/guest/iscsi-results lists"
no_target "$iqn"
no_target "$plain"
expect_grep 'the fence is closed' "$SERVE_LOG"
wait_until "$DEADLINE" device_free "$part" || fail "the partition was not given back"
stop_serving
blockdev --flushbufs "$part"
same_bytes "$image" "$SCRATCH/before"
fsck_clean "$part"
