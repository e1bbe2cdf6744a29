#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A partition is on one side at a time: mounted by Linux, or open as a VHDX. Changing sides needs no restart.
# test: timeout=120 tsan=yes
. "$(dirname "$0")/lib.sh"
need qemu-img

new_ext4 64M
disk=$LOOP
new_dir mnt
mnt=$DIR
new_dir export
export_dir=$DIR

mounts() { mount "$disk" "$mnt" 2>/dev/null; }
defer unmount "$mnt"

serve "$disk" "$export_dir"

note "served and not open: Linux may mount"
stat "$VHDX" >/dev/null
ls -l "$export_dir" >/dev/null
wait_until 10 mounts || fail "an idle vhdxfs holds the device"

for _ in 1 2; do
    note "mounted: the VHDX does not open"
    : >"$SERVE_LOG"
    expect_fail 1 'device or resource busy' cat "$VHDX"
    expect_grep "$mnt" "$SERVE_LOG"
    expect_fail any 'device or resource busy' qemu-img info -f vhdx "$VHDX"
    expect_fail 1 'device or resource busy' dd if=/dev/zero of="$VHDX" conv=notrunc count=1
    echo "the mount is alive" >"$mnt/file"

    umount "$mnt"
    note "unmounted: it does, at once"
    exec 7<"$VHDX"
    exec 8<>"$VHDX"

    note "open: Linux does not mount"
    expect_fail 32 "already mounted|busy|can't open blockdev" mount "$disk" "$mnt"
    expect_fail any 'in use|busy' wipefs --all --no-act "$disk"
    note "one of two closed: still not"
    exec 7<&-
    cat "$VHDX" >/dev/null # a third comes and goes
    expect_fail 32 "already mounted|busy|can't open blockdev" mount "$disk" "$mnt"
    exec 8<&-
    note "the last closed: it does"
    wait_until 10 mounts || fail "the VHDX is closed, and the device still held"
    expect_equal "the file" "$(cat "$mnt/file")" "the mount is alive"
done
umount "$mnt"
stop_serving

note "mounted before the daemon starts"
mounts
serve "$disk" "$export_dir"
expect_fail 1 'device or resource busy' cat "$VHDX"
expect_grep "$mnt" "$SERVE_LOG"
umount "$mnt"
cat "$VHDX" >/dev/null
stop_serving

note "claim=mount: held although not open"
serve -o claim=mount "$disk" "$export_dir"
expect_fail 32 "already mounted|busy|can't open blockdev" mount "$disk" "$mnt"
cat "$VHDX" >/dev/null
expect_fail 32 "already mounted|busy|can't open blockdev" mount "$disk" "$mnt"
stop_serving
mounts || fail "the daemon is gone, and the device still held"
umount "$mnt"
fsck_clean "$disk"

note "the file's times tell who comes back that Linux has written meanwhile, and only then"
times() { stat -c '%y %z' "$1"; }
given_back() { wait_until 10 device_free "$1" || fail "$1 is closed, and still held"; }
for source in "$disk" "$SCRATCH/plain.img"; do
    if [[ $source != "$disk" ]]; then
        truncate -s 64M "$source"
        mke2fs -q -F -t ext4 "$source"
    fi
    serve "$source" "$export_dir"
    printf x | dd of="$VHDX" bs=1 seek=$((30 << 20)) conv=notrunc status=none
    [[ $source == "$disk" ]] && given_back "$source"
    before=$(times "$VHDX")
    : <"$VHDX"
    expect_equal "the times after an open" "$(times "$VHDX")" "$before"
    if [[ $source == "$disk" ]]; then
        given_back "$source"
        mount -o ro,noload "$source" "$mnt"
        umount "$mnt"
        : <"$VHDX"
        expect_equal "the times after a mount that wrote nothing" "$(times "$VHDX")" "$before"
        given_back "$source"
        mounts
        umount "$mnt"
    else
        wait_until 10 tune2fs -L changed "$source" >/dev/null
    fi
    stat "$VHDX" >/dev/null # the kernel has the old ones at hand
    exec 7<"$VHDX"
    [[ $(times "$VHDX") != "$before" ]] || fail "$source was written to, and the times are the same"
    exec 7<&-
    stop_serving
done
fsck_clean "$disk"

note "a device that loses its medium and gets it back"
free_loop "$disk"
new_named_loop "$IMAGE"
disk=$LOOP
ln -s "$disk" "$SCRATCH/partition"
serve "$SCRATCH/partition" "$export_dir"
free_loop "$disk"
expect_fail 1 'input/output' cat "$VHDX"
expect_grep 'is empty now: .*loop device detached' "$SERVE_LOG"
new_loop "$IMAGE"
disk=$LOOP
ln -sfn "$disk" "$SCRATCH/partition"
cat "$VHDX" >/dev/null
stop_serving
fsck_clean "$disk"
