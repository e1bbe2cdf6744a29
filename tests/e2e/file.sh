#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The exposed file behaves as a fixed file must: no holes, full st_blocks, a time that moves with writes; it cannot be
# removed, renamed, cut or joined by others.
# test: timeout=120
. "$(dirname "$0")/lib.sh"
need qemu-img xfs_io

new_ext4 $((100 * MiB + 4096))
disk=$LOOP
new_dir export
serve --block-size=2M "$disk" "$DIR"
at=$DIR
size=$(stat -c %s "$VHDX")
sum() { sha256sum "$VHDX" | cut -d ' ' -f 1; }
before=$(sum)

note "attributes"
expect_equal "type and links" "$(stat -c '%F %h' "$VHDX")" "regular file 1"
((512 * $(stat -c %b "$VHDX") >= size)) || fail "st_blocks says that the file is sparse"
optimum=$(stat -c %o "$VHDX")
((optimum >= 512 && optimum <= 4096)) || fail "st_blksize is $optimum"
expect_equal "the directory" "$(ls -a "$at" | tr '\n' ' ')" ". .. ext4.vhdx "
expect_equal "find" "$(find "$at" -type f -printf '%f ')" "ext4.vhdx "
((512 * $(stat -c %b "$VHDX") <= $(stat -f -c '%b * %S' "$at"))) || fail "statfs: smaller than the file in it"
expect_equal "a name that is not there" "$(stat "$at/none" 2>&1 | grep -o 'No such file.*')" "No such file or directory"

note "no holes"
expect_equal "the first hole" "$(xfs_io -r -c 'seek -h 0' "$VHDX" | awk '/HOLE/ { print $2 }')" "$size"
expect_equal "the first data" "$(xfs_io -r -c 'seek -d 12345' "$VHDX" | awk '/DATA/ { print $2 }')" 12345
expect_equal "a hole from the middle" "$(xfs_io -r -c 'seek -h 5000000' "$VHDX" | awk '/HOLE/ { print $2 }')" "$size"

note "its end is its end"
expect_equal "bytes read over the end" "$(dd if="$VHDX" bs=1000 iflag=skip_bytes skip=$((size - 10)) status=none | wc -c)" 10
expect_fail 1 '.' dd if=/dev/zero of="$VHDX" bs=1M oflag=seek_bytes seek="$size" count=1 conv=notrunc
expect_equal "the size" "$(stat -c %s "$VHDX")" "$size"

refusal='not permitted|permission denied|read-only|not supported|not implemented|busy'
note "refused: unlink, rename, truncate, mknod and their kin"
expect_fail any "$refusal" rm -f "$VHDX"
expect_fail any "$refusal" rmdir "$at"
expect_fail any "$refusal" mv -T "$VHDX" "$at/renamed.vhdx"
expect_fail any "$refusal" mv -T "$VHDX" "$SCRATCH/moved.vhdx" # would copy and then unlink
rm -f "$SCRATCH/moved.vhdx"
expect_fail any "$refusal" truncate -s 1M "$VHDX"
expect_fail any "$refusal" truncate -s $((size + 1)) "$VHDX"
expect_fail any "$refusal" truncate -s 0 "$VHDX"
expect_fail any "$refusal" cp /dev/null "$VHDX" # opens with O_TRUNC
expect_fail any "$refusal" mknod "$at/null" c 1 3
expect_fail any "$refusal" mkfifo "$at/fifo"
expect_fail any "$refusal" ln "$VHDX" "$at/second"
expect_fail any "$refusal" ln -s target "$at/link"
expect_equal "the size" "$(stat -c %s "$VHDX")" "$size"
expect_equal "the content" "$(sum)" "$before"
[[ -e $VHDX ]] || fail "the file is gone"

note "mtime moves with writes, and only with them"
mtime=$(stat -c %.Y "$VHDX")
sum >/dev/null
expect_equal "mtime after reading" "$(stat -c %.Y "$VHDX")" "$mtime"
moved() { [[ $(stat -c %.Y "$VHDX") != "$mtime" ]]; }
write_block() { dd if=/dev/zero of="$VHDX" bs=4096 seek="$1" count=1 conv=notrunc,fsync status=none; }
payload=$(payload_offset "$VHDX")
write_block $(((payload + 60 * MiB) / 4096))
wait_until 5 moved || fail "mtime did not move with a write"
mtime=$(stat -c %.Y "$VHDX")
write_block $((MiB / 4096))
wait_until 5 moved || fail "mtime did not move with a write to the metadata"

note "the last block's end, behind the disk, swallows writes and reads as zeros"
pad=$((payload + 100 * MiB + 4096))
head -c 5000 /dev/urandom | dd of="$VHDX" bs=64k oflag=seek_bytes seek="$pad" conv=notrunc status=none
same_bytes "$VHDX" /dev/zero --ignore-initial="$pad:0" --bytes=$((size - pad))

note "a write over the border from the metadata to the partition, and from it to the end"
head -c 3000000 /dev/urandom >"$SCRATCH/data"
stop_serving
cp --sparse=always "$disk" "$SCRATCH/expected"
serve -o nofirewall --block-size=2M "$disk" "$at"
dd if="$SCRATCH/data" of="$VHDX" bs=4M oflag=seek_bytes seek=$((pad - 1000000)) conv=notrunc,fsync status=none || true
dd if="$SCRATCH/data" of="$SCRATCH/expected" bs=1000000 count=1 oflag=seek_bytes seek=$((100 * MiB + 4096 - 1000000)) \
    conv=notrunc status=none
same_bytes "$VHDX" "$SCRATCH/data" --ignore-initial=$((pad - 1000000)):0 --bytes=1000000
same_bytes "$VHDX" "$SCRATCH/expected" --ignore-initial="$payload:0" --bytes=$((100 * MiB + 4096))
stop_serving
same_bytes "$disk" "$SCRATCH/expected"
