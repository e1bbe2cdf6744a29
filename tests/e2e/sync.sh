#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A write that asks to be on stable storage when it is acknowledged (O_SYNC, O_DSYNC, RWF_DSYNC) is: the device has
# finished a flush by then. Through every view, and in each way in which requests are served.
# test: timeout=120
. "$(dirname "$0")/lib.sh"
need python3

# Each kind of write 4 times, and how often the device was flushed while they ran; the counter is field 16 of the kernel's
# statistics.
cat >"$SCRATCH/writer" <<'END_OF_PYTHON'
import os, sys
file, offset, stat = sys.argv[1], int(sys.argv[2]), sys.argv[3]

def flushes():
    with open(stat) as f:
        return int(f.read().split()[15])

def count(open_flags, write_flags, length):
    fd = os.open(file, os.O_RDWR | open_flags)
    before = flushes()
    for i in range(4):
        if os.pwritev(fd, [os.urandom(length)], offset + i * 4096, write_flags) != length:
            sys.exit("short write")
    done = flushes() - before
    os.close(fd)
    return done

wrong = 0
for name, open_flags, write_flags in (("O_DSYNC", os.O_DSYNC, 0), ("O_SYNC", os.O_SYNC, 0),
                                      ("RWF_DSYNC", 0, os.RWF_DSYNC), ("RWF_SYNC", 0, os.RWF_SYNC)):
    for length in 4096, 1000:
        n = count(open_flags, write_flags, length)
        print("   4 writes of %4d bytes, %-9s %d flushes" % (length, name + ":", n))
        wrong += n < 4
n = count(0, 0, 4096)
print("   4 writes with nothing:          %d flushes" % n)
sys.exit(1 if wrong or n else 0)
END_OF_PYTHON

new_disk 64M
device=$LOOP
mke2fs -q -F -t ext4 -E nodiscard "$device" 16M
vhdx_geometry $((64 * MiB)) "$MiB"
new_dir export
export=$DIR

# flushed FILE OFFSET
flushed() { python3 "$SCRATCH/writer" "$1" "$2" "/sys/class/block/${device##*/}/stat" || fail "writes without a flush"; }

for how in '' -s; do
    # shellcheck disable=SC2086 # an option, or none
    serve $how -o disk "$device" "$export"
    note "the VHDX ${how:+($how)}"
    flushed "$VHDX" $((P + 32 * MiB))
    note "the disk around it"
    file_at=$(place_on_disk "$export/disk.img" $VHDX_SIZE)
    flushed "$export/disk.img" $((file_at + P + 32 * MiB))
    cp --sparse=always "$VHDX" "$SCRATCH/through"
    stop_serving
    same_bytes "$SCRATCH/through" "$device" --ignore-initial="$P:0"
done
fsck_clean "$device"
