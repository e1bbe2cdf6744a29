#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# smbd on loopback, with the share options of dist/samba, in a network of its own. What it shares: the exposed VHDX
# (vhdxfs), or a plain file on the same partition's ext4 (file). The load is benchlib/smbload.py, not fio.
ARM_LIBRARY=${SRC:?}/tests/samba/lib.sh
[[ -e $ARM_LIBRARY ]] || {
    echo "this source tree has no tests/samba/lib.sh"
    exit 77
}
. "$(dirname "$0")/../arm.sh"
/usr/bin/python3 -c 'import samba.samba3.libsmb_samba_internal' 2>/dev/null || skip "python3-samba is not installed"
begin

case $1 in
vhdxfs)
    serve_device -o "$SMB_OPTIONS"
    file=$VHDX offset=$((P + RAW_OFFSET)) more=("pid=$SERVE_PID")
    ;;
file)
    mount_area ext4
    fill "$DIR/file" "$REGION"
    chown "$SMB_USER" "$DIR" "$DIR/file"
    file=$DIR/file offset=0 more=("note=smbd writes the file through the page cache")
    ;;
esac
samba_share bench "${file%/*}"
samba_start {ARM_REPLY}>&-
offer "$file" "$offset" "smb=$SMBD" "${more[@]}" "note=the load is not fio: connections of Samba's own client, one request each"
