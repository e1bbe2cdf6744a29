#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxfs with the options given: the payload in the exposed VHDX.
. "$(dirname "$0")/../arm.sh"

case " $* " in
*io_uring=*) need_option io_uring ;;
esac
begin

serve_device "$@"
path=$(sed -n 's/^vhdxfs: //p' "$SERVE_LOG" | grep -i 'uring\|path' | head -n 1 || true) # if it says one
offer "$VHDX" $((P + RAW_OFFSET)) "pid=$SERVE_PID" "note=$path"
