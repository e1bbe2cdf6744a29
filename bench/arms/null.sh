#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The floor: a vhdxfs built with -DNULL_BACKING answers without asking the device. What is left is FUSE itself. -s: what
# waits for nothing needs no other thread.
. "$(dirname "$0")/../arm.sh"

use_null_build
begin

serve_device -s
offer "$VHDX" $((P + RAW_OFFSET)) "pid=$SERVE_PID" "note=no data: the device is never asked"
