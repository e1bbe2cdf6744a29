#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The ext4 in the exposed VHDX, as Linux mounts it from there: a loop device (with the options given) at the payload.
. "$(dirname "$0")/../arm.sh"

begin
serve_device
new_loop "$VHDX" --offset "$P" --sizelimit "$AREA" "$@"
new_dir inside
mount_at "$LOOP" "$DIR"
fill "$DIR/file" "$REGION"
offer "$DIR/file" 0 "pid=$SERVE_PID"
