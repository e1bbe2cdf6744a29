#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-nbd: the device, or a fixed VHDX file on a file system (ext4 or ntfs), as /dev/nbdN.
. "$(dirname "$0")/../arm.sh"

need qemu-nbd
need_fs "${1-}"
[[ -b /dev/nbd0 ]] || modprobe nbd 2>/dev/null || true
[[ -b /dev/nbd0 ]] || skip "this kernel has no nbd"
begin

# free_nbd: the first /dev/nbdN without a server.
free_nbd() {
    local dir
    for dir in /sys/block/nbd*; do
        [[ -e $dir/pid || $(cat "$dir/size") != 0 ]] || {
            echo "/dev/${dir##*/}"
            return
        }
    done
    skip "every /dev/nbdN is in use"
}

nbd_ready() { [[ $(blockdev --getsize64 "$nbd") == "$size" ]]; }

if (($#)); then
    mount_area "$1"
    make_vhdx "$DIR/disk.vhdx"
    image=(--format=vhdx "$DIR/disk.vhdx") offset=0 size=$REGION
else
    image=(--format=raw "$DEVICE") offset=$RAW_OFFSET size=$(blockdev --getsize64 "$DEVICE")
fi
nbd=$(free_nbd)
# It goes to the background when the device is connected.
qemu-nbd --connect="$nbd" --pid-file="$SCRATCH/qemu-nbd.pid" --cache=none --aio=native "${image[@]}" {ARM_REPLY}>&-
pid=$(<"$SCRATCH/qemu-nbd.pid")
defer wait_until 10 dead "$pid"
defer qemu-nbd --disconnect "$nbd"
wait_until "$DEADLINE" nbd_ready || fail "$nbd has not the size of the image"
offer "$nbd" "$offset" "pid=$pid"
