#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-storage-daemon exports the device itself as a file.
. "$(dirname "$0")/../arm.sh"

need qemu-storage-daemon
begin

touch "$SCRATCH/export"
run_aside qemu-storage-daemon \
    --blockdev "driver=host_device,node-name=disk,filename=$DEVICE,cache.direct=on,aio=native" \
    --export "type=fuse,id=export,node-name=disk,mountpoint=$SCRATCH/export,writable=on"
aside_until mountpoint -q "$SCRATCH/export"
defer unmount_fuse "$SCRATCH/export"
offer "$SCRATCH/export" "$RAW_OFFSET" "pid=$ASIDE"
