#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The VHDX over a placeholder file on a mounted NTFS volume (ntfs-3g): it is the partition, other files lie beside it, and
# neither side's file system suffers.
# test: timeout=120
. "$(dirname "$0")/lib.sh"
need mkntfs ntfs-3g ntfsfix qemu-img

new_disk 64M
NTFS=$LOOP
mkntfs -Q -F -q "$NTFS" >"$SCRATCH/mkntfs" 2>&1 || fail "mkntfs: $(cat "$SCRATCH/mkntfs")"
mkdir "$SCRATCH/share" "$SCRATCH/ext4"
mount_at "$NTFS" "$SCRATCH/share" -t ntfs-3g
new_ext4 96M
PART=$LOOP
mkdir "$SCRATCH/share/wsl"
FILE=$SCRATCH/share/wsl/ext4.vhdx
echo placeholder >"$FILE"

note "larger than the volume it seems to lie on"
serve "$PART" "$FILE"
vhdx_geometry $((96 * MiB)) "$MiB"
expect_equal "the size" "$(stat -c %s "$FILE")" "$VHDX_SIZE"
qemu-img check -q -f vhdx "$FILE"
qemu-img compare -q -f vhdx -F raw "$FILE" "$PART"
expect_equal "the directory" "$(ls "$SCRATCH/share/wsl")" ext4.vhdx
wait_until "$DEADLINE" device_free "$PART"

note "data through it, and files beside it"
dd if=/dev/urandom of="$SCRATCH/data" bs=1M count=20 status=none
new_loop "$FILE" --offset "$P" --sizelimit $((96 * MiB))
mount_at "$LOOP" "$SCRATCH/ext4"
cp "$SCRATCH/data" "$SCRATCH/ext4/data"
unmount "$SCRATCH/ext4"
free_loop "$LOOP"
cp "$SCRATCH/data" "$SCRATCH/share/wsl/shortcut.ico"
same_bytes "$SCRATCH/data" "$SCRATCH/share/wsl/shortcut.ico"
expect_fail any 'busy' rm -f "$FILE"
expect_fail any 'busy' mv "$FILE" "$FILE.old"
expect_fail any 'not permitted' truncate -s 0 "$FILE"
expect_fail any 'busy' umount "$SCRATCH/share"
wait_until "$DEADLINE" device_free "$PART"

note "away again: the placeholder and the other file are there, and both file systems are clean"
umount "$FILE"
ended_well
expect_equal "the placeholder" "$(cat "$FILE")" placeholder
unmount "$SCRATCH/share"
ntfsfix -n "$NTFS" >"$SCRATCH/ntfsfix" || fail "ntfsfix: $(cat "$SCRATCH/ntfsfix")"
mount_at "$NTFS" "$SCRATCH/share" -t ntfs-3g -o ro
same_bytes "$SCRATCH/data" "$SCRATCH/share/wsl/shortcut.ico"
unmount "$SCRATCH/share"
fsck_clean "$PART"
mount_at "$PART" "$SCRATCH/ext4" -o ro
same_bytes "$SCRATCH/data" "$SCRATCH/ext4/data"
unmount "$SCRATCH/ext4"
