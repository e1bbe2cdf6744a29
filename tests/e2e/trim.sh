#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Punching and zeroing give exact zeros at any alignment, and nothing else changes.
# test: timeout=180
. "$(dirname "$0")/lib.sh"

MiB=1048576
P=$((4 * MiB))
new_dir export
export_dir=$DIR

# Zeroes at offset and length of the disk by the tool's way, and the same in a copy by writing.
both_zero() { # MODE OFFSET LENGTH
    fallocate "--$1" -o $((P + $2)) -l "$3" "$VHDX"
    dd if=/dev/zero of="$SCRATCH/copy" bs=64K oflag=seek_bytes iflag=count_bytes seek="$2" count="$3" conv=notrunc status=none
}

check_ranges() { # DEVICE
    note "on $1 with options: ${2-none}"
    head -c $((16 * MiB)) /dev/urandom | dd of="$1" bs=1M seek=8 conv=notrunc,fsync status=none
    cat "$1" >"$SCRATCH/copy"
    serve ${2+-o "$2"} "$1" "$export_dir"
    for range in "$((8 * MiB)) 1048576" "$((9 * MiB + 512)) 512" "$((9 * MiB + 4096)) 4096" "$((10 * MiB + 1)) 1" \
        "$((10 * MiB + 100)) 5000" "$((11 * MiB - 3)) 70007" "$((12 * MiB + 4095)) 8194" "$((13 * MiB + 512)) 65536"; do
        # shellcheck disable=SC2086 # two words
        both_zero punch-hole $range
        # shellcheck disable=SC2086
        both_zero zero-range $((${range% *} + 4 * MiB)) ${range#* }
    done
    tail -c "+$((P + 1))" "$VHDX" | head -c "$(stat -c %s "$SCRATCH/copy")" | same_bytes - "$SCRATCH/copy"
    note "metadata and what is outside"
    expect_fail 1 'not permitted' fallocate --punch-hole -o 1048576 -l 4096 "$VHDX"
    expect_fail 1 'not permitted' fallocate --zero-range -o $((P - 4096)) -l 8192 "$VHDX"
    expect_fail 1 'no space' fallocate --punch-hole -o $((P + 64 * MiB - 4096)) -l 8192 "$VHDX"
    expect_fail 1 'unsupported|not supported' fallocate --collapse-range -o $((P + 8 * MiB)) -l 4096 "$VHDX"
    stop_serving
    same_bytes "$1" "$SCRATCH/copy"
    fsck_clean "$1"
}
# A file system in front, and room behind it that is nobody's.
new_disk 64M
disk=$LOOP
image=$IMAGE
mke2fs -q -F -t ext4 -E nodiscard "$disk" 7M
check_ranges "$disk"
check_ranges "$disk" nodiscard
truncate -s 64M "$SCRATCH/plain.img"
mke2fs -q -F -t ext4 "$SCRATCH/plain.img" 7M
check_ranges "$SCRATCH/plain.img"

note "a punch gives the space back"
new_ext4 64M
disk=$LOOP
image=$IMAGE
# Linux punches no more holes in a device that once could not zero a range, as one over tmpfs for mke2fs.
if (($(cat "/sys/block/${LOOP#/dev/}/queue/write_zeroes_max_bytes") == 0)); then
    free_loop "$LOOP"
    disk=$IMAGE
    note "(the image file itself)"
fi
allocated() { stat -c %b "$image"; }
head -c $((32 * MiB)) /dev/urandom | dd of="$disk" bs=1M seek=16 conv=notrunc,fsync status=none
sync "$image"
full=$(allocated)
serve "$disk" "$export_dir"
fallocate --punch-hole -o $((P + 16 * MiB)) -l $((32 * MiB)) "$VHDX"
stop_serving
[[ $(allocated) -lt $((full - 60000)) ]] || fail "a punch gave nothing back"

note "an ext4 in the file, mounted with discard: its trims arrive"
mke2fs -q -F -t ext4 "$disk"
serve "$disk" "$export_dir"
new_loop "$VHDX" --direct-io=on --offset "$P" --sizelimit $((64 * MiB))
inner=$LOOP
new_dir mnt
mnt=$DIR
mount_at "$inner" "$mnt" -o discard
head -c $((20 * MiB)) /dev/urandom >"$mnt/file"
sync "$mnt/file"
sync "$image"
with=$(allocated)
rm "$mnt/file"
sync -f "$mnt"
fstrim "$mnt"
umount "$mnt"
free_loop "$inner"
stop_serving
[[ $(allocated) -lt $((with - 30000)) ]] || fail "the trim of the file system did not arrive"
fsck_clean "$disk"

note "a discard of metadata is refused, and does not end those of a loop device on the whole file"
serve "$disk" "$export_dir"
new_loop "$VHDX" --direct-io=on
whole=$LOOP
payload_discards() { blkdiscard --offset $((P + 8 * MiB)) --length "$MiB" "$whole"; }
payload_discards
expect_fail 1 'input/output' blkdiscard --offset "$MiB" --length 65536 "$whole"
payload_discards || fail "the loop device discards no more"
free_loop "$whole"
stop_serving

note "nodiscard keeps the space"
head -c $((32 * MiB)) /dev/urandom | dd of="$disk" bs=1M seek=16 conv=notrunc,fsync status=none
sync "$image"
full=$(allocated)
serve -o nodiscard "$disk" "$export_dir"
fallocate --punch-hole -o $((P + 16 * MiB)) -l $((16 * MiB)) "$VHDX"
stop_serving
[[ $(allocated) -ge $((full - 2048)) ]] || fail "nodiscard gave space back"
mke2fs -q -F -t ext4 -E nodiscard "$disk"
