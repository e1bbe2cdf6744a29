#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The device-mapper map: a header and the device joined by a linear table, a block device that holds a VHDX.
. "$(dirname "$0")/../arm.sh"

need dmsetup
modprobe dm-mod 2>/dev/null || true
dmsetup version >/dev/null 2>&1 || skip "this kernel has no device-mapper"
begin

header=4 # MiB; any VHDX header is such a file
truncate -s "${header}M" "$SCRATCH/header"
new_loop "$SCRATCH/header"
name=vhdxfs-bench-$$-$SRANDOM
sectors=$((header * MiB / 512))
dmsetup create "$name" <<END
0 $sectors linear $LOOP 0
$sectors $(blockdev --getsz "$DEVICE") linear $DEVICE 0
END
defer dmsetup remove --retry "$name"
dmsetup mknodes "$name"
offer "/dev/mapper/$name" $((header * MiB + RAW_OFFSET))
