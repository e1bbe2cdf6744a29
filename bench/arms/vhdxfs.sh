#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxfs with the options given: the payload in the exposed VHDX.
. "$(dirname "$0")/../arm.sh"

begin

serve_device "$@"
offer "$VHDX" $((P + RAW_OFFSET)) "pid=$SERVE_PID"
