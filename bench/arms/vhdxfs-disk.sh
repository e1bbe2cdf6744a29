#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxfs's disk (-o disk): the payload of the VHDX in the NTFS volume of disk.img, in place.
. "$(dirname "$0")/../arm.sh"

need mkntfs
begin

serve_disk
offer "$DISK" $((P + RAW_OFFSET)) "pid=$SERVE_PID"
