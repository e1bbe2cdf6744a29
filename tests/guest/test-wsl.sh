#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A partition with Debian boots by turns natively, with its own systemd, and from the served VHDX, as WSL boots it (see
# wsl-init). One daemon serves all the time. Each boot finds what the others left, TRIM arrives, e2fsck is content.
# ROUNDS=N rounds, 10 when it says nothing; each is a native boot and one from the VHDX.
#
#   native    systemd-nspawn --boot on the mounted partition; every third round, and where the machine can't do that
#             always, a guest that has the whole disk
#   VHDX      by QEMU's vhdx driver as a SCSI disk; it drops TRIM, so in every other round the guest's disk is the payload
#             in the same file, by its offset
# test: timeout=900 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need qemu-img sgdisk fstrim
GUEST=$SRC/tests/guest

ROUNDS=${ROUNDS:-10}
write_mib=300
rc=0
rootfs=$("$GUEST/rootfs") || rc=$?
((rc == 0)) || exit "$rc"

# --- a disk with a partition, and Debian on it -----------------------------------

IMAGE=$SCRATCH/disk.img
truncate -s 1600M "$IMAGE"
sgdisk -n 1:0:+16M -n 2:0:0 "$IMAGE" >/dev/null
# A loop device over the partition's range, because not every kernel makes partitions of loop devices.
part_range=$(sgdisk -i 2 "$IMAGE" | sed -nE 's/^(First|Last) sector: ([0-9]+).*/\2/p' | tr '\n' ' ')
new_loop "$IMAGE" --offset $((${part_range%% *} * 512)) --sizelimit $(((${part_range#* } - ${part_range%% *} + 1) * 512))
part=$LOOP
mke2fs -q -F -t ext4 -L rehearsal "$part"
size=$(blockdev --getsize64 "$part")
new_dir native
mnt=$DIR
mkdir "$SCRATCH/left"

mount "$part" "$mnt"
defer unmount "$mnt"
tar -x --numeric-owner -f "$rootfs" -C "$mnt"
mkdir -p "$mnt/var/lib/rehearsal" "$mnt/srv/from-fstab"
: >"$mnt/var/lib/rehearsal/boots"
: >"$mnt/var/lib/rehearsal/sums"
chroot "$mnt" useradd --create-home --shell /bin/bash somebody
cat >"$mnt/etc/fstab" <<END
UUID=$(blkid -p -s UUID -o value "$part") / ext4 defaults,errors=remount-ro 0 1
tmpfs /srv/from-fstab tmpfs defaults,nofail 0 0
END
cat >"$mnt/etc/systemd/system/rehearsal.service" <<'END'
[Unit]
Description=Count this boot and end it
After=multi-user.target
RequiresMountsFor=/srv/from-fstab
SuccessAction=exit
FailureAction=exit
FailureActionExitStatus=1
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/rehearsal
[Install]
WantedBy=multi-user.target
END
chroot "$mnt" systemctl --quiet enable rehearsal.service
cat >"$mnt/usr/local/sbin/rehearsal" <<'END'
#!/bin/bash
# Runs when the system is up. In a guest, the second serial port takes the words, the third the status.
out=/var/lib/rehearsal/log
[[ ! -c /dev/ttyS1 ]] || out=/dev/ttyS1
exec >"$out" 2>&1
trap 'rc=$?; [[ ! -c /dev/ttyS2 ]] || echo "$rc" >/dev/ttyS2' EXIT
set -euo pipefail
fail() { echo "FAIL: $*"; exit 1; }
cd /var/lib/rehearsal
boot=$(($(wc -l <boots) + 1))
[[ $(</proc/1/comm) == systemd ]] || fail "process 1 is $(</proc/1/comm)"
mountpoint -q /srv/from-fstab || fail "the fstab is not mounted"
failed=$(systemctl list-units --failed --no-legend --plain)
# A container may lack what a unit needs, for one the device that the fstab names.
[[ -z $failed ]] || systemd-detect-virt --quiet --container || fail "failed units: $failed"
[[ ! -s sums ]] || sha256sum --check --quiet sums || fail "files of earlier boots are not what they were"
cp /payload.native "native.$boot"
rm /payload.native
sha256sum "native.$boot" >>sums
echo "$boot native $(</proc/sys/kernel/random/boot_id)" >>boots
sync
echo "$(. /etc/os-release && echo "$PRETTY_NAME"): boot $boot, native, in $(systemd-detect-virt || true)"
END
chmod 755 "$mnt/usr/local/sbin/rehearsal"
can_nspawn=''
# A /run of its own, for what systemd-nspawn keeps there.
mount -t tmpfs -o mode=755 rehearsal /run
defer unmount /run
if type -P systemd-nspawn >/dev/null && systemd-nspawn --quiet --register=no --keep-unit --machine="rehearsal-$$" \
    --directory="$mnt" --console=pipe true >"$SCRATCH/nspawn" 2>&1; then
    can_nspawn=1
else
    note "no systemd-nspawn here, native boots are guests: $(tail -n 1 "$SCRATCH/nspawn" 2>/dev/null)"
fi
umount "$mnt"
fsck_clean "$part"

new_dir export
serve "$part" "$DIR"
P=$(payload_offset "$VHDX")

# --- the boots ---------------------------------------------------------------------

boot=0
allocated() {
    sync "$IMAGE"
    echo $(($(stat -c %b "$IMAGE") / 2048)) # MiB
}

# new_payload SIDE: what this boot shall leave, in $SCRATCH/left/SIDE.BOOT.
new_payload() {
    payload=$SCRATCH/left/$1.$boot
    head -c 2M /dev/urandom >"$payload"
}

# A boot has counted itself.
counted() { # SIDE
    mount -o ro "$part" "$mnt"
    expect_equal "the counter" "$(tail -n 1 "$mnt/var/lib/rehearsal/boots" | cut -d ' ' -f 1,2)" "$boot $1"
    umount "$mnt"
}

# The system in DISK as its own master: the first process is its init.
cat >"$SCRATCH/native-init" <<'END'
#!/bin/sh
until [ -b /dev/vda2 ]; do sleep 0.05; done
mount -t ext4 /dev/vda2 /mnt || reboot -f
for dir in dev proc sys run; do mount --move /$dir /mnt/$dir; done
exec switch_root /mnt /sbin/init
END

guest() {
    local rc=0
    "$GUEST/run" "$@" || rc=$?
    if ((rc == 77)); then exit 77; fi
    ((rc == 0)) || fail "boot $boot failed in the guest"
}

native() { # nspawn|guest
    local rc=0
    boot=$((boot + 1))
    wait_until "$DEADLINE" device_free "$part" || fail "the partition was not given back"
    mount "$part" "$mnt"
    new_payload native
    cp "$payload" "$mnt/payload.native"
    ! opens "$VHDX" 2>/dev/null || fail "the VHDX can be opened while the partition is mounted"
    if [[ $1 == nspawn ]]; then
        timeout $((2 * DEADLINE)) systemd-nspawn --quiet --boot --register=no --keep-unit --machine="rehearsal-$$" \
            --directory="$mnt" --console=pipe >"$SCRATCH/nspawn" 2>&1 || rc=$?
        ((rc == 0)) || {
            cat "$SCRATCH/nspawn" "$mnt/var/lib/rehearsal/log" || true
            fail "boot $boot in systemd-nspawn: exit code $rc"
        }
        cat "$mnt/var/lib/rehearsal/log"
    else
        umount "$mnt"
        guest --timeout 300 --exec --disk "$IMAGE" --module autofs4 --append systemd.show_status=no "$SCRATCH/native-init"
        # What the loop device has cached is older than what the guest wrote into its file.
        blockdev --flushbufs "$part"
        mount "$part" "$mnt"
    fi
    # All that is free is given back, so that the next boot can be measured; and the fstab is WSL's or not, by turns.
    printf '[automount]\nmountFsTab = %s\n[user]\ndefault=somebody\n[network]\nhostname=from-wsl\n' \
        "$([[ $((boot % 4)) == 1 ]] && echo true || echo False)" >"$mnt/etc/wsl.conf"
    fstrim "$mnt"
    umount "$mnt"
    counted native
    fsck_clean "$part"
}

mounted_or_dead() { dead "$pid" || grep -q 'the disk is mounted' "$SCRATCH/out"; }

wsl() { # vhdx|payload
    local before grown disk pid rc=0
    boot=$((boot + 1))
    new_payload wsl
    before=$(allocated)
    : >"$SCRATCH/out" # what is waited for below stands there from the boot before
    case $1 in
    vhdx) disk="driver=vhdx,node-name=disk,discard=unmap,file.driver=file,file.filename=$VHDX" ;;
    payload)
        disk="driver=raw,node-name=disk,discard=unmap,offset=$P,size=$size"
        disk+=",file.driver=file,file.filename=$VHDX,file.discard=unmap"
        ;;
    esac
    guest --timeout 240 --module virtio_scsi --module sd_mod --file "$payload:payload" \
        --env "BOOT=$boot" --env "WRITE_MIB=$write_mib" \
        --qemu -blockdev --qemu "$disk" --qemu -device --qemu virtio-scsi-pci \
        --qemu -device --qemu scsi-hd,drive=disk "$GUEST/wsl-init" >"$SCRATCH/out" &
    pid=$!
    # Not by trying the device: that would take it from the daemon for a moment.
    wait_until 300 mounted_or_dead
    if alive "$pid"; then
        expect_fail any "already mounted|busy|can't open blockdev" mount "$part" "$mnt"
    fi
    wait "$pid" || rc=$?
    cat "$SCRATCH/out"
    ((rc == 0)) || exit "$rc"
    grown=$(($(allocated) - before))
    note "boot $boot, by $1: $write_mib MiB written and deleted, the partition's file grew by $grown MiB"
    case $1 in
    vhdx) ((grown > write_mib * 9 / 10)) || fail "QEMU's vhdx driver now passes TRIM on, or nothing was written" ;;
    payload) ((grown < write_mib / 3)) || fail "TRIM did not arrive" ;;
    esac
    wait_until "$DEADLINE" device_free "$part" || fail "the partition was not given back"
    counted wsl
    fsck_clean "$part"
}

for ((round = 1; round <= ROUNDS; round++)); do
    native "$([[ $can_nspawn && $((round % 3)) != 2 ]] && echo nspawn || echo guest)"
    wsl "$( ((round % 2)) && echo vhdx || echo payload)"
done

# --- what is left ---------------------------------------------------------------------

cmp -i "$P:0" -n "$size" "$VHDX" "$part" || fail "the payload is not the partition"
wait_until "$DEADLINE" device_free "$part" || fail "the partition was not given back"
mount -o ro "$part" "$mnt"
expect_equal "boots" "$(wc -l <"$mnt/var/lib/rehearsal/boots")" $((2 * ROUNDS))
expect_equal "boots of a kernel of their own from the VHDX" \
    "$(awk '$2 == "wsl" { print $3 }' "$mnt/var/lib/rehearsal/boots" | sort -u | wc -l)" "$ROUNDS"
for file in "$SCRATCH"/left/*; do same_bytes "$file" "$mnt/var/lib/rehearsal/${file##*/}"; done
expect_equal "the default user's files" "$(find "$mnt/home/somebody" -name 'wsl.*' -user 1000 | wc -l)" "$ROUNDS"
umount "$mnt"
stop_serving
fsck_clean "$part"
note "$ROUNDS rounds, $boot boots"
