#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Today's way: a fixed VHDX file on a file system (ext4 or ntfs), opened by qemu-storage-daemon, exported as a raw disk.
. "$(dirname "$0")/../arm.sh"

need qemu-storage-daemon
need_fs "$1"
begin

mount_area "$1"
make_vhdx "$DIR/disk.vhdx"
notes=()
if [[ $1 == ntfs ]]; then
    notes=("note=ntfs-3g goes through the page cache of the device")
fi
touch "$SCRATCH/export"
run_aside qemu-storage-daemon \
    --blockdev "driver=file,node-name=file,filename=$DIR/disk.vhdx,cache.direct=on,aio=native" \
    --blockdev driver=vhdx,node-name=disk,file=file \
    --export "type=fuse,id=export,node-name=disk,mountpoint=$SCRATCH/export,writable=on"
aside_until mountpoint -q "$SCRATCH/export"
defer unmount_fuse "$SCRATCH/export"
offer "$SCRATCH/export" 0 "pid=$ASIDE" "${notes[@]}"
