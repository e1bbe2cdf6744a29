#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A share with dist/samba/vhdxfs.conf shows the VHDX as Windows wants it, keeps what clients set over a restart, moves
# data right, and lets nobody destroy it.
# test: timeout=180 quick=no asan=no
. "$(dirname "$0")/../samba/lib.sh"
samba_python -c ''

# The file system ends before the disk: what is behind it may be written at random.
size=$((256 * MiB)) tail=$((192 * MiB))
new_disk $size
disk=$LOOP
mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=1,nodiscard "$disk" $((tail / 1024))k
head -c $((size - tail)) /dev/urandom | dd of="$disk" bs=1M seek=$((tail / MiB)) conv=fsync status=none
vhdx_geometry $size $MiB
new_dir mnt
mnt=$DIR
new_dir export
export_dir=$DIR
samba_share wsl "$export_dir"
samba_share synced "$export_dir" 'sync always' yes
serve -o "$SMB_OPTIONS" "$disk" "$export_dir"
samba_start
check() { samba_python "$SRC/tests/samba/check.py" "$1" wsl $SMB_USER $SMB_PASSWORD $size $P "${@:2}"; }
cat "$disk" >"$SCRATCH/model"

note "smbclient"
smb 'allinfo ext4.vhdx; ls' >"$SCRATCH/out"
expect_grep "stream: .::.DATA., $VHDX_SIZE bytes" "$SCRATCH/out"
expect_grep "ext4.vhdx +N? +$VHDX_SIZE" "$SCRATCH/out"
smb "put $SRC/COPYING notes.txt; get notes.txt $SCRATCH/notes.txt; rm notes.txt" >/dev/null
same_bytes "$SRC/COPYING" "$SCRATCH/notes.txt"
for command in 'rm ext4.vhdx' 'rename ext4.vhdx other.vhdx' 'mkdir folder' 'put /etc/hostname ext4.vhdx'; do
    expect_grep 'NT_STATUS_(ACCESS_DENIED|DISK_FULL)' <(smb "$command" || true)
done
expect_equal "the directory" "$(ls "$export_dir")" ext4.vhdx

for part in properties sharing refusals beside "data $tail $SCRATCH/model" "flush $disk synced"; do
    note "${part%% *}"
    # shellcheck disable=SC2086 # words
    check $part
    [[ $part != data* ]] || cp "$SCRATCH/model" "$SCRATCH/after-data"
done
expect_grep 'refused to delete ext4.vhdx' "$SERVE_LOG"
expect_grep 'refused a write.*nofirewall' "$SERVE_LOG"

note "what Windows sets is there after a restart of both: an access control list with a machine's account, attributes"
account=S-1-5-83-1-1868749763-1309876513-2914273165-3145823211
smbacl ext4.vhdx -a "ACL:$account:ALLOWED/0x0/FULL" >/dev/null
smb 'setmode ext4.vhdx +h' >/dev/null
[[ $(smbacl ext4.vhdx) == *"ACL:$account:ALLOWED"* ]] || fail "the entry was not kept: $(smbacl ext4.vhdx)"
before=$(smbacl ext4.vhdx)
samba_stop
stop_serving
serve -o "$SMB_OPTIONS" "$disk" "$export_dir"
samba_start
expect_equal "the access control list" "$(smbacl ext4.vhdx)" "$before"
expect_grep 'attributes: +[A-Z]*H' <(smb 'allinfo ext4.vhdx')
expect_equal "the file beside it" "$(stat -c %s "$export_dir/shortcut.ico")" 70000
smb 'setmode ext4.vhdx -h' >/dev/null

note "a list that forbids deletion: refused at once, not at the close"
smbacl / -a 'ACL:S-1-1-0:DENIED/0x0/0x40' >/dev/null
smbacl ext4.vhdx -a 'ACL:S-1-1-0:DENIED/0x0/0x10000' >/dev/null
check undeletable

note "while Linux has the partition mounted"
mount_at "$disk" "$mnt"
check busy
expect_grep "is mounted on $mnt" "$SERVE_LOG"
umount "$mnt"

note "durable handles"
check durable "$disk" "$mnt"
samba_stop
stop_serving

note "the partition: what was written through the share and nothing else"
cmp -i $tail -n $((size - tail - 4 * MiB)) "$disk" "$SCRATCH/after-data" || fail "the tail of the disk differs"
mount_at "$disk" "$mnt"
expect_equal "what Linux wrote in between" "$(cat "$mnt/written-by-linux")" xx
umount "$mnt"
fsck_clean "$disk"
