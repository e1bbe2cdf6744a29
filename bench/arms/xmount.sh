#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# xmount shows the device as a VHD (not VHDX). Its writes go to a file of its own, so only reading is measured.
. "$(dirname "$0")/../arm.sh"

need xmount
begin

new_dir vhd
xmount --in raw "$DEVICE" --out vhd "$DIR" {ARM_REPLY}>&- # it goes to the background, and ends when it is unmounted
defer unmount_fuse "$DIR"
file=$(find "$DIR" -name '*.vhd')
[[ -f $file ]] || fail "xmount shows no VHD"
pid=$(pgrep -f "^xmount .* $DIR\$")
offer "$file" "$RAW_OFFSET" writes=no "pid=$pid" "note=read-only; a VHD, not a VHDX; reads from the page cache"
