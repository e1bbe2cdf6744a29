#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each option does what its documentation says.
# test: timeout=180
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io findmnt jq

new_ext4 64M
disk=$LOOP
new_dir export
at=$DIR

note "-h and -V"
"$VHDXFS" -h >"$SCRATCH/help"
expect_grep '^usage: .*SOURCE MOUNTPOINT' "$SCRATCH/help"
for word in foreground debug single-thread help version block-size pidfile reset-state \
    allow_other uid gid umask name state fsname claim nodiscard nofirewall allow_errors; do
    expect_grep "$word" "$SCRATCH/help"
done
expect_equal "--help" "$("$VHDXFS" --help)" "$(cat "$SCRATCH/help")"
expect_equal "-V" "$("$VHDXFS" -V)" "$("$VHDXFS" --version)"
"$VHDXFS" -V >"$SCRATCH/version"
expect_grep 'vhdxfs.* [0-9]+\.[0-9]+' "$SCRATCH/version"

! grep io_uring "$SCRATCH/help" || fail "--help lists an option that has no effect"

note "-f: the log on standard error says what is served"
serve --block-size=4M "$disk" "$at"
expect_grep "$disk" "$SERVE_LOG"
expect_grep '64 MiB' "$SERVE_LOG"
expect_grep '4 MiB blocks' "$SERVE_LOG"
expect_grep "$STATE" "$SERVE_LOG"
expect_equal "block size" "$(block_size "$VHDX")" $((4 * MiB))
stop_serving

note "-d: the requests, in the foreground; -s: one thread"
serve -d -s "$disk" "$at"
expect_equal "threads that serve" "$(serving_threads)" 1
qemu-img check -q -f vhdx "$VHDX"
expect_equal "threads that serve" "$(serving_threads)" 1
expect_grep 'read' "$SERVE_LOG"
expect_grep 'open' "$SERVE_LOG"
stop_serving

note "owner, permissions, names"
serve -o uid=1234,gid=4321,umask=027,name=disk.vhdx,fsname=my-disk "$disk" "$at"
expect_equal "the directory" "$(ls "$at")" disk.vhdx
expect_equal "owner and mode" "$(stat -c '%u %g %a' "$at/disk.vhdx")" "1234 4321 640"
expect_equal "the mount table" "$(findmnt -n -o SOURCE,FSTYPE "$at" | tr -s ' ')" "my-disk fuse.vhdxfs"
stop_serving
serve "$disk" "$at"
expect_equal "owner and mode" "$(stat -c '%u %g %a' "$VHDX")" "0 0 600"
expect_equal "the mount table" "$(findmnt -n -o SOURCE,FSTYPE "$at" | tr -s ' ')" "$disk fuse.vhdxfs"
stop_serving

note "allow_other, and without"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
chmod 755 "$at"
serve -o umask=022 "$disk" "$at"
expect_fail 1 'permission denied' "${as_nobody[@]}" cat "$VHDX"
stop_serving
serve -o umask=022,allow_other "$disk" "$at"
"${as_nobody[@]}" cat "$VHDX" >/dev/null || fail "allow_other and umask=022, and another user cannot read"
expect_fail 1 'permission denied' "${as_nobody[@]}" dd if=/dev/zero of="$VHDX" conv=notrunc count=1
stop_serving
serve -o allow_other "$disk" "$at"
expect_fail 1 'permission denied' "${as_nobody[@]}" cat "$VHDX"
stop_serving

note "ro: nothing is written anywhere"
cp --sparse=always "$disk" "$SCRATCH/before"
find "$STATE" -type f -exec sha256sum {} + >"$SCRATCH/state.before"
serve -o ro "$disk" "$at"
qemu-img check -q -f vhdx "$VHDX"
qemu-img compare -f vhdx -F raw "$VHDX" "$SCRATCH/before" >/dev/null || fail "ro: another content"
expect_fail 1 'read-only' dd if=/dev/zero of="$VHDX" bs=1M seek=8 count=1 conv=notrunc
expect_fail any 'read-only|permission' qemu-io -f vhdx -c 'write 0 4096' "$VHDX"
expect_equal "the mount's options" "$(findmnt -n -o OPTIONS "$at" | cut -c -2)" ro
stop_serving
same_bytes "$disk" "$SCRATCH/before"
find "$STATE" -type f -exec sha256sum {} + >"$SCRATCH/state.after"
same_bytes "$SCRATCH/state.before" "$SCRATCH/state.after"
mkdir "$SCRATCH/unused"
serve -o "ro,state=$SCRATCH/unused" "$disk" "$at"
cat "$VHDX" >/dev/null
stop_serving
expect_equal "files in the state directory" "$(ls -A "$SCRATCH/unused")" ""
expect_grep "; no state in $SCRATCH/unused/" "$SERVE_LOG"

note "a regular file as mount point"
new_dir share
echo placeholder >"$DIR/disk.vhdx"
echo beside >"$DIR/other.txt"
serve "$disk" "$DIR/disk.vhdx"
expect_equal "its neighbour" "$(cat "$DIR/other.txt")" beside
qemu-img check -q -f vhdx "$DIR/disk.vhdx"
qemu-img compare -f vhdx -F raw "$DIR/disk.vhdx" "$disk" >/dev/null || fail "not the partition"
expect_equal "its mode" "$(stat -c '%F %a' "$DIR/disk.vhdx")" "regular file 600"
qemu-io -f vhdx -c "write -P 0x5a $((40 * MiB)) 1M" "$DIR/disk.vhdx" >/dev/null
expect_fail 1 'busy|not permitted|read-only' rm -f "$DIR/disk.vhdx"
stop_serving
expect_equal "the placeholder" "$(cat "$DIR/disk.vhdx")" placeholder
same_bytes "$disk" <(head -c 1M /dev/zero | tr '\0' '\132') --ignore-initial=$((40 * MiB)):0 --bytes="$MiB"

note "an image file as source; io_uring, which has no effect any more"
serve -o io_uring=on "$SCRATCH/before" "$at"
expect_grep 'warning: option io_uring has no effect any more' "$SERVE_LOG"
qemu-img check -q -f vhdx "$VHDX"
same_bytes "$VHDX" "$SCRATCH/before" --ignore-initial="$(payload_offset "$VHDX")":0 --bytes=$((64 * MiB))
stop_serving
fsck_clean "$disk"
