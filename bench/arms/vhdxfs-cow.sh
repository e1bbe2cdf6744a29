#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxfs with an overlay, which takes what is written; it lies beside the RAM disk or on the scratch disk.
. "$(dirname "$0")/../arm.sh"

begin
serve_device -o "cow=$SCRATCH/overlay,state=$STATE"
offer "$VHDX" $((P + RAW_OFFSET)) "pid=$SERVE_PID"
