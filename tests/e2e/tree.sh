#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The ext4 inside the exposed file is the ext4 of the partition: a tree written on one side is read and changed on the
# other, and back.
# test: timeout=600 tsan=yes
. "$(dirname "$0")/lib.sh"
need qemu-img jq

directories=20 files=100 # 2,000 files of 256 KiB: 500 MiB
if [[ ${QUICK-}${SANITIZED-} ]]; then
    directories=10 files=20
fi

new_ext4 1G
disk=$LOOP
new_dir direct
direct=$DIR
new_dir inside
inside=$DIR
new_dir export
export_dir=$DIR

# A tree with more than plain files in it.
make_tree() {
    local dir
    for dir in $(seq "$directories"); do
        mkdir "$1/dir $dir"
        head -c $((files * 262144)) /dev/urandom | split -b 262144 -a 3 - "$1/dir $dir/file."
    done
    head -c 100001 /dev/urandom | split -b 1001 -a 3 - "$1/odd."
    : >"$1/empty"
    ln -s "dir 1/file.aaa" "$1/symlink"
    ln "$1/empty" "$1/hardlink"
    mkfifo "$1/fifo"
    truncate -s 10M "$1/sparse"
    chmod 4750 "$1/odd.aaa"
    chown 1234:4321 "$1/odd.aab"
}

# digest DIR: all that a tree says: names, types, modes, owners, link targets, contents.
digest() {
    (
        cd "$1"
        find . -mindepth 1 -path ./lost+found -prune -o -printf '%p %y %m %U %G %n %l\n' | sort
        find . -type f -print0 | sort -z | xargs -0 sha256sum
    )
}

# The ext4 in the exposed file, on a loop device with the payload's offset.
mount_inside() {
    new_loop "$VHDX" --offset "$(payload_offset "$VHDX")" --sizelimit "$(blockdev --getsize64 "$disk")"
    inside_loop=$LOOP
    mount_at "$inside_loop" "$inside"
}

umount_inside() {
    umount "$inside"
    free_loop "$inside_loop"
    wait_until "$DEADLINE" device_free "$disk" || fail "nobody has the VHDX open, and the device is still held"
}

mkdir "$SCRATCH/tree"
make_tree "$SCRATCH/tree"
digest "$SCRATCH/tree" >"$SCRATCH/wanted"
note "$(find "$SCRATCH/tree" -type f | wc -l) files, $(du -sh "$SCRATCH/tree" | cut -f 1)"

serve "$disk" "$export_dir"
mount_inside
cp -a "$SCRATCH/tree/." "$inside/"
umount_inside
stop_serving
fsck_clean "$disk"

note "the partition, mounted directly"
mount_at "$disk" "$direct"
digest "$direct" >"$SCRATCH/got"
same_bytes "$SCRATCH/wanted" "$SCRATCH/got"
rm -r "$direct/dir 2"
mv "$direct/dir 3" "$direct/dir three"
head -c 300000 /dev/urandom | dd of="$direct/dir 1/file.aaa" bs=1000 seek=77 conv=notrunc status=none
head -c 5000000 /dev/urandom >"$direct/new on the Linux side"
digest "$direct" >"$SCRATCH/wanted"
umount "$direct"
fsck_clean "$disk"

note "served again"
serve "$disk" "$export_dir"
mount_inside
digest "$inside" >"$SCRATCH/got"
same_bytes "$SCRATCH/wanted" "$SCRATCH/got"
head -c 3000000 /dev/urandom >"$inside/new on the other side"
digest "$inside" >"$SCRATCH/wanted"
umount_inside

note "and, while the daemon runs on, the partition directly and the VHDX in turn"
mount_at "$disk" "$direct"
digest "$direct" >"$SCRATCH/got"
same_bytes "$SCRATCH/wanted" "$SCRATCH/got"
head -c 2000000 /dev/urandom >"$direct/while it is served"
digest "$direct" >"$SCRATCH/wanted"
umount "$direct"
mount_inside
digest "$inside" >"$SCRATCH/got"
same_bytes "$SCRATCH/wanted" "$SCRATCH/got"
umount_inside
stop_serving
fsck_clean "$disk"
