#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file on the partition's ext4, mounted directly: what Linux has without any of us.
. "$(dirname "$0")/../arm.sh"

begin
mount_area ext4
fill "$DIR/file" "$REGION"
offer "$DIR/file" 0
