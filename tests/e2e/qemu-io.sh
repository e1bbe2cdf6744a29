#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# QEMU writes through the file, at offsets of all kinds: the partition holds exactly that, and QEMU's own writes to the
# VHDX metadata outlive the daemon.
# test: timeout=300 tsan=yes
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io debugfs jq

size=$((256 * MiB)) length=$((64 * MiB))
new_ext4 "$size"
new_dir mnt
mount_at "$LOOP" "$DIR"
mnt=$DIR
fallocate -l "$length" "$mnt/target"
head -c "$length" /dev/urandom | dd of="$mnt/target" bs=1M iflag=fullblock conv=notrunc status=none
umount "$mnt"

# The target's place on the partition: what is written there must not hurt the file system.
first=$(debugfs -R "bmap target 0" "$LOOP" 2>/dev/null)
last=$(debugfs -R "bmap target $((length / 4096 - 1))" "$LOOP" 2>/dev/null)
expect_equal "blocks of the file in one piece" $((last - first + 1)) $((length / 4096))
start=$((first * 4096))

# Offsets in the target and lengths: sectors, across a page, across 1 MiB, odd bytes, a long one.
patterns=(
    "0x11 0 512"
    "0x22 512 512"
    "0x33 7680 1024"
    "0x44 $((MiB - 4096)) 8192"
    "0x55 $((2 * MiB - 512)) 1024"
    "0x66 $((3 * MiB + 1)) 1"
    "0x77 $((4 * MiB + 511)) 3"
    "0x88 $((5 * MiB + 4095)) 4098"
    "0x99 $((6 * MiB + 13)) $((3 * MiB + 777))"
    "0xaa $((12 * MiB)) $((8 * MiB))"
    "0xbb $((length - 512)) 512"
)

# The same writes to a copy of the partition, by QEMU's raw driver: what must come out.
cp --sparse=always "$LOOP" "$SCRATCH/expected"

# commands: the patterns as qemu-io's commands, absolute.
commands() {
    local line pattern offset count
    for line in "${patterns[@]}"; do
        read -r pattern offset count <<<"$line"
        echo "write -P $pattern $((start + offset)) $count"
    done
    echo flush
}

new_dir export
serve "$LOOP" "$DIR"
export_dir=$DIR
head -c 3M "$VHDX" >"$SCRATCH/metadata.fresh"
commands | qemu-io -f vhdx "$VHDX" >"$SCRATCH/io.log" || fail "qemu-io: $(cat "$SCRATCH/io.log")"
! grep -i 'fail\|error' "$SCRATCH/io.log" || fail "qemu-io reports an error"
commands | qemu-io -f raw "$SCRATCH/expected" >/dev/null

for line in "${patterns[@]}"; do
    read -r pattern offset count <<<"$line"
    qemu-io -r -f vhdx -c "read -P $pattern $((start + offset)) $count" "$VHDX" >"$SCRATCH/io.log"
    ! grep -i 'verification failed' "$SCRATCH/io.log" || fail "read back: $line"
done
qemu-img compare -f vhdx -F raw "$VHDX" "$SCRATCH/expected" || fail "the VHDX is not what was written"
cp "$VHDX" "$SCRATCH/whole.before"
stop_serving

same_bytes "$LOOP" "$SCRATCH/expected"
fsck_clean "$LOOP"
mount_at "$LOOP" "$mnt" -o ro
same_bytes "$mnt/target" "$SCRATCH/expected" --ignore-initial="0:$start" --bytes="$length"
umount "$mnt"

note "over a restart"
! cmp -s "$SCRATCH/metadata.fresh" <(head -c 3M "$SCRATCH/whole.before") ||
    fail "QEMU opened the file for writing and changed no header: this test shows nothing"
serve "$LOOP" "$export_dir"
same_bytes "$VHDX" "$SCRATCH/whole.before"
qemu-img check -q -f vhdx "$VHDX"
qemu-io -f vhdx -c "read -P 0xaa $((start + 12 * MiB)) 8M" "$VHDX" >/dev/null

note "what a client writes to the log and the metadata region stays, at any size and offset"
head -c 70001 /dev/urandom >"$SCRATCH/log"
head -c 3001 /dev/urandom >"$SCRATCH/meta"
dd if="$SCRATCH/log" of="$VHDX" bs=64k oflag=seek_bytes seek=$((MiB + 12345)) conv=notrunc,fsync status=none
dd if="$SCRATCH/meta" of="$VHDX" bs=64k oflag=seek_bytes seek=$((2 * MiB + 500001)) conv=notrunc,fsync status=none
stop_serving
serve "$LOOP" "$export_dir"
same_bytes "$VHDX" "$SCRATCH/log" --ignore-initial=$((MiB + 12345)):0 --bytes=70001
same_bytes "$VHDX" "$SCRATCH/meta" --ignore-initial=$((2 * MiB + 500001)):0 --bytes=3001
qemu-img compare -f vhdx -F raw "$VHDX" "$SCRATCH/expected" || fail "the VHDX changed"
stop_serving
same_bytes "$LOOP" "$SCRATCH/expected"
fsck_clean "$LOOP"
