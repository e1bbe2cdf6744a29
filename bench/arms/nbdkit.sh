#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit joins a header file and the device (its split plugin); nbdfuse shows that as a file. Where the split plugin takes
# no block device (as in version 1.32), nbdkit serves the device alone, without the header.
. "$(dirname "$0")/../arm.sh"
need nbdkit nbdfuse nbdinfo
begin

header=4 # MiB; any VHDX header is such a file
disk=$(blockdev --getsize64 "$DEVICE")
truncate -s "${header}M" "$SCRATCH/header"
# shellcheck disable=SC2016 # nbdkit expands it
size=$(nbdkit split "$SCRATCH/header" "$DEVICE" --run 'nbdinfo --size "$uri"' {ARM_REPLY}>&-)
if ((size == header * MiB + disk)); then
    plugin=(split "$SCRATCH/header" "$DEVICE") note='with a header'
else
    plugin=(file "$DEVICE") header=0 note='without a header: this split plugin takes no block device'
fi

run_aside nbdkit --foreground --unix "$SCRATCH/socket" --pidfile "$SCRATCH/nbdkit.pid" "${plugin[@]}"
server=$ASIDE
aside_until test -s "$SCRATCH/nbdkit.pid"
new_dir nbd
run_aside nbdfuse --pidfile "$SCRATCH/nbdfuse.pid" "$DIR/file" --unix "$SCRATCH/socket"
aside_until test -s "$SCRATCH/nbdfuse.pid"
defer unmount_fuse "$DIR"
offer "$DIR/file" $((header * MiB + RAW_OFFSET)) "pid=$server" "pid=$ASIDE" "note=$note" \
    "note=nbdkit reads and writes through the page cache"
