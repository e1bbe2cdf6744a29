#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxfs with the options given: the payload in the exposed VHDX.
. "$(dirname "$0")/../arm.sh"

[[ " $* " != *io_uring=on* ]] || need_uring
begin

serve_device "$@"
[[ " $* " != *io_uring=on* ]] || check_uring
offer "$VHDX" $((P + RAW_OFFSET)) "pid=$SERVE_PID"
