#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# With -o cow=FILE the partition stays as it is, byte for byte, and FILE has what was written: across restarts and kills,
# until it is discarded, or committed, also when the commit is killed at any moment and run again.
# test: timeout=600
. "$(dirname "$0")/lib.sh"
need qemu-img jq

rounds=12 disk_mib=600
if [[ ${QUICK-}${SANITIZED-} ]]; then
    rounds=4 disk_mib=200
fi

new_ext4 "${disk_mib}M" -U 6b29fc40-ca47-1067-b31d-00dd010662da
disk=$LOOP image=$IMAGE
size=$(blockdev --getsize64 "$disk")
new_dir direct
direct=$DIR
new_dir inside
inside=$DIR
new_dir export
export_dir=$DIR
overlay=$SCRATCH/overlay
state_file=$STATE/6b29fc40-ca47-1067-b31d-00dd010662da.state

mount_at "$disk" "$direct"
head -c "$((disk_mib / 20))M" /dev/urandom >"$direct/first"
mkdir "$direct/dir"
head -c "$((disk_mib / 6))M" /dev/urandom | split -b 256K - "$direct/dir/"
umount "$direct"

# What is on the device, read past its cache.
sum_of() { dd if="$1" bs=1M iflag=direct status=none | sha256sum | cut -d ' ' -f 1; }

# The partition as the VHDX shows it, in the file $1.
take_copy_of_vhdx() { tail -c +$((P + 1)) "$VHDX" | head -c "$size" >"$1"; }

mount_inside() {
    wait_until "$DEADLINE" opens "$VHDX" || fail "the VHDX cannot be opened"
    P=$(payload_offset "$VHDX")
    new_loop "$VHDX" --offset "$P" --sizelimit "$size"
    inside_loop=$LOOP
    mount_at "$inside_loop" "$inside" -o discard
}

umount_inside() {
    umount "$inside"
    free_loop "$inside_loop"
    wait_until "$DEADLINE" device_free "$disk" || fail "nobody has the VHDX open, and the device is still held"
}

tool() { "$VHDXFS" -o "state=$STATE,cow=$overlay" "$@"; }
refused() {
    local code=$1 pattern=$2
    shift 2
    expect_fail "$code" "$pattern" "$VHDXFS" -f -o "state=$STATE" "$@"
}

note "the command line"
refused 1 'exclude' -o "ro,cow=$overlay" "$disk" "$export_dir"
refused 1 'cow=FILE' --commit "$disk"
refused 1 'cow=FILE' --discard "$disk"
refused 1 'exclude' --commit --discard -o "cow=$overlay" "$disk"
refused 1 'too many' --commit -o "cow=$overlay" "$disk" "$export_dir"
refused 1 'No such file' --commit -o "cow=$overlay" "$disk"
refused 1 'No such file' --discard -o "cow=$overlay" "$disk"
refused 1 'No such file' -o "cow=$SCRATCH/missing/overlay" "$disk" "$export_dir"
head -c 100000 /dev/urandom >"$SCRATCH/precious"
cp "$SCRATCH/precious" "$SCRATCH/precious.copy"
refused 3 'no overlay' -o "cow=$SCRATCH/precious" "$disk" "$export_dir"
refused 3 'no overlay' --commit -o "cow=$SCRATCH/precious" "$disk"
refused 3 'no overlay' --discard -o "cow=$SCRATCH/precious" "$disk"
same_bytes "$SCRATCH/precious" "$SCRATCH/precious.copy"
ln -s "$SCRATCH/nothing" "$SCRATCH/link"
refused 4 'links are not followed' -o "cow=$SCRATCH/link" "$disk" "$export_dir"

note "a directory FILE.state with somebody's files in it is left alone"
mkdir "$overlay.state"
echo mine >"$overlay.state/mine"
serve -o "cow=$overlay" "$disk" "$export_dir"
expect_fail 1 'not permitted|not empty|input/output' cat "$VHDX"
expect_grep 'not the overlay.s' "$SERVE_LOG"
stop_serving
expect_equal "the file" "$(cat "$overlay.state/mine")" mine
[[ ! -e $overlay ]] || fail "an overlay was made"
rm -r "$overlay.state"

before=$(sum_of "$disk")

note "a session; the ordinary state does not come into being"
serve -o "cow=$overlay" "$disk" "$export_dir"
mount_inside
rm "$inside/first" "$inside"/dir/b?
fstrim "$inside"
head -c "$((disk_mib / 2))M" /dev/urandom >"$inside/second"
echo changed >"$inside/dir/changed"
sync -f "$inside"
refused 2 'another vhdxfs uses this overlay' --discard -o "cow=$overlay" "$disk"
refused 2 'another vhdxfs uses this overlay' --commit -o "cow=$overlay" "$disk"
refused 2 'another vhdxfs' -o "cow=$overlay" "$disk" "$direct"
expect_fail 32 "already mounted|busy|can't open blockdev" mount "$disk" "$direct"
umount_inside
qemu-io -f vhdx -c 'write -P 0 0 512' "$VHDX" >/dev/null # the boot block, zeros already: QEMU rewrites its headers
expect_equal "the partition" "$(sum_of "$disk")" "$before"
[[ ! -e $state_file ]] || fail "the ordinary state was made"
expect_equal "the overlay's mode" "$(stat -c %a "$overlay")" 600
expect_equal "its state's mode" "$(stat -c %a "$overlay.state")" 700

note "the same daemon, opened again, and after a restart"
mount_inside
expect_equal "the file" "$(cat "$inside/dir/changed")" changed
second=$(sha256sum <"$inside/second")
umount_inside
stop_serving
serve -o "cow=$overlay,claim=mount" "$disk" "$export_dir"
P=$(payload_offset "$VHDX")
new_loop "$VHDX" --offset "$P" --sizelimit "$size"
inside_loop=$LOOP
mount_at "$inside_loop" "$inside"
expect_equal "the file" "$(sha256sum <"$inside/second")" "$second"
umount "$inside"
free_loop "$inside_loop"
take_copy_of_vhdx "$SCRATCH/seen"
head -c 3M "$VHDX" >"$SCRATCH/seen.metadata"
stop_serving
expect_equal "the partition" "$(sum_of "$disk")" "$before"

note "killed: what was flushed is there"
serve -o "cow=$overlay" "$disk" "$export_dir"
head -c 3M /dev/urandom >"$SCRATCH/block"
for place in $((disk_mib / 3)) $((disk_mib / 2)); do
    dd if="$SCRATCH/block" of="$VHDX" bs=64K seek=$((P / 65536 + place * 16)) conv=notrunc,fsync status=none
done
take_copy_of_vhdx "$SCRATCH/seen.killed"
kill -KILL "$SERVE_PID"
wait_until "$DEADLINE" dead "$SERVE_PID"
wait "$SERVE_PID" || true
umount --lazy "$export_dir"
serve -o "cow=$overlay" "$disk" "$export_dir"
take_copy_of_vhdx "$SCRATCH/seen.after"
same_bytes "$SCRATCH/seen.killed" "$SCRATCH/seen.after"
# Back to what the file system had there.
for place in $((disk_mib / 3)) $((disk_mib / 2)); do
    dd if="$SCRATCH/seen" of="$VHDX" bs=64K skip=$((place * 16)) seek=$((P / 65536 + place * 16)) count=48 \
        conv=notrunc,fsync status=none
done
stop_serving
expect_equal "the partition" "$(sum_of "$disk")" "$before"

note "the VHDX is another's: another partition, a changed one"
keep() { # the partition, the overlay and its state, the ordinary state, as they are now
    rm -rf "$SCRATCH/kept"
    mkdir "$SCRATCH/kept"
    cp --sparse=always "$image" "$SCRATCH/kept/image"
    cp --sparse=always "$overlay" "$SCRATCH/kept/overlay"
    cp -a "$overlay.state" "$SCRATCH/kept/overlay.state"
    cp -a "$STATE" "$SCRATCH/kept/state"
}
put_back() {
    dd if="$SCRATCH/kept/image" of="$disk" bs=1M oflag=direct conv=notrunc status=none
    rm -rf "$overlay" "$overlay.state" "$STATE"
    cp --sparse=always "$SCRATCH/kept/overlay" "$overlay"
    cp -a "$SCRATCH/kept/overlay.state" "$overlay.state"
    cp -a "$SCRATCH/kept/state" "$STATE"
}
sync "$disk"
keep
new_ext4 "${disk_mib}M" -U 11111111-2222-3333-4444-555555555555
refused 2 'for partition 6b29fc40' -o "cow=$overlay" "$LOOP" "$export_dir"
refused 2 'for partition 6b29fc40' --commit -o "cow=$overlay" "$LOOP"
refused 2 'for partition 6b29fc40' --discard -o "cow=$overlay" "$LOOP"
mount_at "$disk" "$direct"
refused 2 'mounted' --discard -o "cow=$overlay" "$disk"
refused 2 'mounted' --commit -o "cow=$overlay" "$disk"
umount "$direct"
changed=$(sum_of "$disk")
refused 2 'changed since.*--discard' -o "cow=$overlay" "$disk" "$export_dir"
refused 2 'changed since.*--discard' --commit -o "cow=$overlay" "$disk"
tool --discard "$disk"
[[ ! -e $overlay && ! -e $overlay.state ]] || fail "something is left of the overlay"
expect_equal "the partition after --discard" "$(sum_of "$disk")" "$changed"
put_back

note "changed while the daemon runs and nobody has the VHDX open"
serve -o "cow=$overlay" "$disk" "$export_dir"
opens "$VHDX"
wait_until "$DEADLINE" device_free "$disk"
mount_at "$disk" "$direct"
umount "$direct"
expect_fail 1 'input/output' cat "$VHDX"
expect_grep 'changed since' "$SERVE_LOG"
stop_serving
put_back

note "discarded"
tool --discard "$disk"
[[ ! -e $overlay && ! -e $overlay.state ]] || fail "something is left of the overlay"
expect_equal "the partition" "$(sum_of "$disk")" "$before"
fsck_clean "$disk"
put_back

note "a partition that has no size for a VHDX"
new_disk 64M --sector-size 2048
refused 3 'cannot be shown as a VHDX.*2048' --commit -o "cow=$overlay" "$LOOP"
refused 3 'cannot be shown as a VHDX.*2048' --discard -o "cow=$overlay" "$LOOP"
[[ -e $overlay && -d $overlay.state ]] || fail "refused, and the overlay is gone"

note "a write-protected partition"
blockdev --setro "$disk"
defer blockdev --setrw "$disk"
refused 2 'write-protected' --commit -o "cow=$overlay" "$disk"
refused 2 'write-protected' "$disk" "$export_dir"
serve -o "cow=$overlay" "$disk" "$export_dir"
dd if=/dev/zero of="$VHDX" bs=64K count=1 seek=$((P / 65536 + 100)) conv=notrunc,fsync status=none
stop_serving
tool --discard "$disk"
blockdev --setrw "$disk"
expect_equal "the partition" "$(sum_of "$disk")" "$before"

note "no space for the overlay: the client is told, and what was flushed stays"
new_dir small
small=$DIR
mount_at tmpfs "$small" -t tmpfs -o size=24M
serve -o "cow=$small/overlay" "$disk" "$export_dir"
head -c 2M /dev/urandom >"$SCRATCH/block"
dd if="$SCRATCH/block" of="$VHDX" bs=64K seek=$((P / 65536 + 100)) conv=notrunc,fsync status=none
expect_fail 1 'no space left' dd if=/dev/urandom of="$VHDX" bs=1M count=30 seek=$((P / 1048576 + 40)) conv=notrunc
stop_serving
serve -o "cow=$small/overlay" "$disk" "$export_dir"
dd if="$VHDX" bs=64K skip=$((P / 65536 + 100)) count=32 status=none | cmp - "$SCRATCH/block" ||
    fail "what was flushed before the file system was full is not there"
stop_serving
"$VHDXFS" -o "state=$STATE,cow=$small/overlay" --discard "$disk"
expect_equal "what is left" "$(ls -A "$small")" ""
umount "$small"
put_back

note "committed"
start=$(date +%s%N)
tool --commit "$disk"
took=$((($(date +%s%N) - start) / 1000000))
[[ ! -e $overlay && ! -e $overlay.state ]] || fail "something is left of the overlay"
same_bytes "$SCRATCH/seen" "$disk" -n "$size"
fsck_clean "$disk"
mount_at "$disk" "$direct" -o ro,noload
expect_equal "the file" "$(sha256sum <"$direct/second")" "$second"
umount "$direct"

note "its VHDX metadata is the partition's now, and a new overlay starts with it"
serve "$disk" "$export_dir"
head -c 3M "$VHDX" | cmp - "$SCRATCH/seen.metadata" || fail "the metadata is not what was seen"
wait_until "$DEADLINE" device_free "$disk"
stop_serving
ordinary=$(sha256sum <"$state_file")
serve -o "cow=$overlay" "$disk" "$export_dir"
head -c 3M "$VHDX" | cmp - "$SCRATCH/seen.metadata" || fail "the new overlay's metadata is not the partition's"
qemu-io -f vhdx -c 'write -P 0 0 512' "$VHDX" >/dev/null
stop_serving
expect_equal "the ordinary state" "$(sha256sum <"$state_file")" "$ordinary"
tool --discard "$disk"

note "killed at any moment, and run again ($took ms when it is not)"
is_committing() { [[ -e $overlay && $(od -An -tu1 -j 24 -N 1 "$overlay" 2>/dev/null) -eq 1 ]]; }

# commit_killed MILLISECONDS: begins a commit and kills it. Fails when it was done before.
commit_killed() {
    local pid rc=0
    "$VHDXFS" -o "state=$STATE,cow=$overlay" --commit "$disk" 2>"$SCRATCH/commit.log" &
    pid=$!
    sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || rc=$?
    if [[ $rc != 137 ]]; then
        expect_equal "the exit code of the commit" "$rc" 0
        return 1
    fi
}

serve "$disk" "$export_dir" # and a daemon that runs through it all must not show half of it
idle_vhdx=$VHDX
interrupted=0
for ((i = 0; i < 10 * rounds && interrupted < rounds; i++)); do
    put_back
    while commit_killed $((RANDOM % (took + 1))); do
        [[ -e $overlay ]] || break # killed when all was done
        is_committing || continue
        interrupted=$((interrupted + 1))
        refused 2 'interrupted' --discard -o "cow=$overlay" "$disk"
        refused 2 'interrupted' -o "cow=$overlay" "$disk" "$direct"
        if [[ -e ${state_file%.state}.commit ]]; then
            refused 2 'interrupted' "$disk" "$direct"
            refused 2 'interrupted' -o ro "$disk" "$direct"
            refused 2 'interrupted' -o "cow=$SCRATCH/fresh" "$disk" "$direct"
            expect_fail 1 'input/output' cat "$idle_vhdx"
            wait_until "$DEADLINE" device_free "$disk"
        fi
    done
    [[ ! -e $overlay && ! -e $overlay.state && ! -e ${state_file%.state}.commit ]] || fail "something is left"
    same_bytes "$SCRATCH/seen" "$disk"
    fsck_clean "$disk"
done
((interrupted >= rounds)) || fail "only $interrupted commits were interrupted"
opens "$idle_vhdx" || fail "the commit is finished, and the VHDX does not open"
wait_until "$DEADLINE" device_free "$disk"
stop_serving
note "$interrupted interrupted"

note "somebody uses the partition after an interruption: refused, nothing written"
for ((i = 0; i < 100; i++)); do
    put_back
    commit_killed $((RANDOM % (took + 1))) && is_committing && break
done
is_committing || fail "no commit was interrupted"
printf '\x55\x55' | dd of="$disk" bs=1 seek=$((1024 + 52)) conv=notrunc,fsync status=none # the mount count
changed=$(sum_of "$disk")
refused 2 'changed by somebody else' --commit -o "cow=$overlay" "$disk"
expect_equal "the partition" "$(sum_of "$disk")" "$changed"
put_back

note "an image file, which cow sessions can share: one overlay has one user, two have two"
cp --sparse=always "$SCRATCH/kept/image" "$SCRATCH/image"
sum=$(sha256sum <"$SCRATCH/image")
last=$((size / 65536 - 100))
daemons=()
for name in o1 o1 o2; do
    new_dir "$name"
    serve -o "cow=$SCRATCH/$name" "$SCRATCH/image" "$DIR"
    daemons+=("$SERVE_PID $SERVE_MNT $SERVE_LOG")
done
read -r pid_1 mnt_1 _ <<<"${daemons[0]}"
read -r pid_2 mnt_2 log_2 <<<"${daemons[1]}"
exec 7<>"$mnt_1/ext4.vhdx"
P=$(payload_offset "$mnt_1/ext4.vhdx")
echo one | dd of="$mnt_1/ext4.vhdx" bs=64K seek=$((P / 65536 + last)) conv=notrunc,fsync status=none
expect_fail 1 'busy' cat "$mnt_2/ext4.vhdx"
expect_grep 'another vhdxfs uses this overlay' "$log_2"
refused 2 'another vhdxfs' --commit -o "cow=$SCRATCH/o1" "$SCRATCH/image"
refused 2 'another vhdxfs' --discard -o "cow=$SCRATCH/o1" "$SCRATCH/image"
dd if="$VHDX" bs=64K skip=$((P / 65536 + last)) count=1 status=none |
    cmp - <(dd if="$SCRATCH/image" bs=64K skip="$last" count=1 status=none) || fail "an overlay shows through another"
exec 7<&-
expect_equal "what the first wrote, by the second" "$(wait_until "$DEADLINE" opens "$mnt_2/ext4.vhdx" &&
    dd if="$mnt_2/ext4.vhdx" bs=64K skip=$((P / 65536 + last)) count=1 status=none | head -c 3)" one
stop_serving
stop_serving "$pid_2" "$mnt_2"
stop_serving "$pid_1" "$mnt_1"
refused 4 'cannot' -o "cow=/proc/overlay,claim=mount" "$SCRATCH/image" "$DIR"
expect_equal "the image" "$(sha256sum <"$SCRATCH/image")" "$sum"
tool --commit "$disk"
fsck_clean "$disk"
same_bytes "$SCRATCH/seen" "$disk"
