#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The file on disk.img is not deleted by accident; and when it is, moved or cut, not a byte of the partition changes.
# test: timeout=300 tsan=yes
. "$(dirname "$0")/lib.sh"
need sgdisk ntfs-3g mkntfs setfattr

new_ext4 64M
PART=$LOOP
mkdir "$SCRATCH/ntfs" "$SCRATCH/ext4"
mount_at "$PART" "$SCRATCH/ext4"
dd if=/dev/urandom of="$SCRATCH/ext4/data" bs=1M count=30 status=none
unmount "$SCRATCH/ext4"
sum=$(sha256sum <"$PART")

# serve_disk [options]: sets DISK, FILE_AT (of the VHDX on the disk), P (of the payload in the VHDX), VOLUME (a loop device).
serve_disk() {
    new_dir export
    serve -o disk "$@" "$PART" "$DIR"
    DISK=$DIR/disk.img
    FILE_AT=$(place_on_disk "$DISK" "$(stat -c %s "$VHDX")")
    vhdx_geometry $((64 * MiB)) "$MiB"
    new_loop "$DISK" --offset "$MiB" --sizelimit $(($(stat -c %s "$DISK") - 2 * MiB))
    VOLUME=$LOOP
}

end_disk() {
    unmount "$SCRATCH/ntfs"
    free_loop "$VOLUME"
    wait_until "$DEADLINE" device_free "$PART" || fail "not given back"
    stop_serving
}

ntfs_mounted() {
    mount_at "$VOLUME" "$SCRATCH/ntfs" -t ntfs-3g -o "allow_other${1+,$1}"
    FILE=$SCRATCH/ntfs/ext4.vhdx
}

# Puts the payload's own bytes where they are: changes nothing, but a closed fence refuses it.
rewrite() { dd if="$PART" of="$DISK" bs=4096 skip=4096 seek=$(((FILE_AT + P) / 4096 + 4096)) count=4 conv=notrunc status=none; }
overwrite() { dd if=/dev/urandom of="$DISK" bs=4096 seek=$(((FILE_AT + P) / 4096 + 4096)) count=4 conv=notrunc status=none; }
# refused FUNCTION: with an I/O error.
refused() {
    "$1" 2>"$SCRATCH/refused" && fail "$1 is possible, and must not be"
    expect_grep 'Input/output error' "$SCRATCH/refused"
}
discard() { fallocate -p -o $((FILE_AT + P + MiB)) -l $((8 * MiB)) "$DISK"; }

note "the access control list"
serve_disk
ntfs_mounted permissions
other=(setpriv --reuid 65534 --regid 65534 --clear-groups)
expect_fail any 'not permitted|denied' "${other[@]}" rm -f "$FILE"
expect_fail any 'not permitted|denied' "${other[@]}" mv "$FILE" "$SCRATCH/ntfs/other"
"${other[@]}" touch "$SCRATCH/ntfs/shortcut.ico" # other files come and go
"${other[@]}" rm "$SCRATCH/ntfs/shortcut.ico"
if command -v ntfssecaudit >/dev/null; then
    # Denied to S-1-1-0: DELETE. Granted: all else, so WRITE_DAC (0x40000), too. And the root's DELETE_CHILD.
    for object in "$FILE" "$SCRATCH/ntfs"; do
        ntfssecaudit -v "$object" || true # it misses a mapping of users, and fails
    done >"$SCRATCH/acl" 2>&1
    hex=$(sed -n 's/^ *0000[0-9a-f]\{2\}  *//p' "$SCRATCH/acl" | tr -d ' \n')
    everyone=010100000000000100000000
    file=0100140000000100${everyone}00001400ff011e00$everyone
    root=0100140040000000${everyone}00031400ff011f00$everyone
    [[ $hex == *$file*$root* ]] || fail "the lists: $(cat "$SCRATCH/acl")"
fi

note "what leaves the fence open"
touch "$FILE"
setfattr -n user.note -v "$(printf '%0300d' 0)" "$FILE"
mv "$FILE" "$SCRATCH/ntfs/debian.vhdx"
mv "$SCRATCH/ntfs/debian.vhdx" "$FILE"
dd if=/dev/zero of="$SCRATCH/ntfs/big" bs=1M count=100 status=none
rm "$SCRATCH/ntfs/big"
for i in {1..150}; do echo "$i" >"$SCRATCH/ntfs/file$i"; done
unmount "$SCRATCH/ntfs"
rewrite
[[ $(sha256sum <"$PART") == "$sum" ]] || fail "the partition has changed"
log_caught_up
! grep -q 'fence' "$SERVE_LOG" || fail "the fence closed: $(cat "$SERVE_LOG")"

note "deleted by somebody who may: the fence closes, also for those clusters' next owner"
ntfs_mounted
rm "$FILE"
unmount "$SCRATCH/ntfs" # the kernel caches the volume, and would write it in whatever order
expect_grep "the fence is closed: (the file's data is not described|.*was deleted)" "$SERVE_LOG"
ntfs_mounted
dd if=/dev/urandom of="$SCRATCH/ntfs/big" bs=1M count=320 conv=fsync >"$SCRATCH/dd" 2>&1 || true
unmount "$SCRATCH/ntfs"
refused overwrite
refused discard
end_disk
expect_equal "the partition" "$(sha256sum <"$PART")" "$sum"

note "closed after a restart; the VHDX beside it is not concerned"
serve_disk
refused overwrite
expect_grep 'the fence is closed' "$SERVE_LOG"
free_loop "$VOLUME"
wait_until "$DEADLINE" device_free "$PART"
dd if="$PART" of="$VHDX" bs=4096 skip=4096 seek=$((P / 4096 + 4096)) count=4 conv=notrunc status=none
wait_until "$DEADLINE" device_free "$PART"
stop_serving

note "--reset-disk: a new volume, the old one kept"
serve_disk --reset-disk
expect_grep 'the old state was kept as .*\.disk\.' "$SERVE_LOG"
rewrite
ntfs_mounted ro
same_bytes "$FILE" "$VHDX"
end_disk
expect_equal "the partition" "$(sha256sum <"$PART")" "$sum"

# closes WHAT PATTERN COMMAND...: on a new volume, COMMAND must close the fence for that reason, at once.
closes() {
    local what=$1 pattern=$2
    shift 2
    serve_disk --reset-disk
    "$@" >"$SCRATCH/closes" 2>&1 || true
    unmount "$SCRATCH/ntfs"
    sync -f "$DISK" || true
    expect_grep "the fence is closed: .*($pattern)" "$SERVE_LOG"
    refused overwrite
    refused discard
    end_disk
    expect_equal "the partition after: $what" "$(sha256sum <"$PART")" "$sum"
    note "closed: $what: $(sed -n 's/.*the fence is closed: \([^.]*\)\..*/\1/p;T;q' "$SERVE_LOG")"
    rm -f "$STATE"/*.disk.*
}
cut_file() { ntfs_mounted && truncate -s 10M "$FILE"; }
grow_file() { ntfs_mounted && truncate -s 80M "$FILE"; }
zero_bitmap() {
    # One run up to the file: the last of its clusters hold the bits of this small volume's end.
    local at=$((FILE_AT - 64 * 1024)) first=$(((FILE_AT - MiB) / 65536 / 8))
    dd if=/dev/zero of="$DISK" bs=1 seek=$((at + first + 100)) count=1 conv=notrunc
}
over_signature() { dd if=/dev/urandom of="$DISK" bs=4096 seek=$((FILE_AT / 4096)) count=1 conv=notrunc; }

format_ntfs() { mkntfs -F -Q -q "$VOLUME"; }
format_ext2() { mke2fs -q -F "$VOLUME"; }
delete_partition() { sgdisk -d 1 "$DISK"; }
initialize() { sgdisk -Z "$DISK"; }
discard_start() { fallocate -p -o "$FILE_AT" -l $((16 * MiB)) "$DISK"; }
discard_all() { fallocate -p -o 0 -l "$(stat -c %s "$DISK")" "$DISK"; }

closes "truncated" "size was changed" cut_file
closes "extended, which makes it sparse" "made sparse" grow_file
closes "bits of the bitmap cleared" "set free" zero_bitmap
closes "formatted" "volume is gone" format_ntfs
closes "formatted with something else" "volume is gone" format_ext2
closes "partition deleted" "deleted, moved" delete_partition
closes "initialized" "no GPT any more" initialize
closes "start of the file discarded" "was discarded" discard_start
closes "whole disk discarded" "no GPT any more" discard_all
closes "start of the file overwritten" "no VHDX" over_signature

note "a damaged image is refused, with the cure"
dd if=/dev/urandom of="$(echo "$STATE"/*.disk)" bs=512 count=1 seek=1 conv=notrunc status=none
new_dir export
expect_fail 2 'damaged.*--reset-disk' "$VHDXFS" -f -o "disk,state=$STATE" "$PART" "$DIR"
serve_disk --reset-disk
rewrite
end_disk
fsck_clean "$PART"
