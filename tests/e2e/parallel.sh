#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Many clients at once, reading and writing the payload and the metadata: every byte arrives in its place.
# test: timeout=180 tsan=yes
. "$(dirname "$0")/lib.sh"
need qemu-img debugfs jq

writers=8 share=$((8 * MiB)) length=$((64 * MiB))
new_ext4 256M
disk=$LOOP
new_dir mnt
mount_at "$disk" "$DIR"
mnt=$DIR
fallocate -l "$length" "$mnt/target"
head -c "$length" /dev/zero | dd of="$mnt/target" bs=1M iflag=fullblock conv=notrunc status=none
umount "$mnt"
first=$(debugfs -R "bmap target 0" "$disk" 2>/dev/null)
last=$(debugfs -R "bmap target $((length / 4096 - 1))" "$disk" 2>/dev/null)
expect_equal "blocks of the file in one piece" $((last - first + 1)) $((length / 4096))

new_dir export
serve "$disk" "$DIR"
place=$(($(payload_offset "$VHDX") + first * 4096))
head -c "$length" /dev/urandom >"$SCRATCH/data"

# Writer I writes its part of the data in pieces of a size of its own, the even ones past the page cache.
writer() {
    local sizes=(512 4096 65536 1048576 3584 131072 20480 262144) flags=seek_bytes
    ((I % 2)) || flags+=,direct
    dd if="$SCRATCH/data" of="$VHDX" bs="${sizes[I]}" iflag=skip_bytes,count_bytes oflag="$flags" conv=notrunc,fsync \
        skip=$((I * share)) seek=$((place + I * share)) count="$share" status=none
}

# The metadata meanwhile: one client rewrites a page of the log, one reads the headers.
log_writer() {
    local n
    for ((n = 0; n < 200; n++)); do
        printf '%4096s' "$n" | dd of="$VHDX" bs=4096 oflag=seek_bytes seek=$((MiB + n % 8 * 4096)) iflag=fullblock \
            conv=notrunc status=none
    done
}

reader() {
    local n
    for ((n = 0; n < 10; n++)); do
        expect_equal "the signature" "$(head -c 8 "$VHDX")" vhdxfile
        cp "$VHDX" /dev/null
    done
}

pids=()
for ((I = 0; I < writers; I++)); do
    writer &
    pids+=($!)
done
log_writer &
pids+=($!)
reader &
pids+=($!)
for pid in "${pids[@]}"; do
    wait "$pid" || fail "a client failed"
done

same_bytes "$VHDX" "$SCRATCH/data" --ignore-initial="$place:0" --bytes="$length"
for ((n = 192; n < 200; n++)); do
    same_bytes "$VHDX" <(printf '%4096s' "$n") --ignore-initial=$((MiB + n % 8 * 4096)):0 --bytes=4096
done
stop_serving
same_bytes "$disk" "$SCRATCH/data" --ignore-initial=$((first * 4096)):0 --bytes="$length"
fsck_clean "$disk"
mount_at "$disk" "$mnt" -o ro
same_bytes "$mnt/target" "$SCRATCH/data"
umount "$mnt"
