#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Partitions of all sizes: independent readers accept the exposed file, its size is exact, and it holds the partition.
# test: timeout=600
. "$(dirname "$0")/lib.sh"
need qemu-img vhdiinfo 7zz jq

# accepted DISKSIZE [SECTORSIZE]: what every reader says of VHDX.
accepted() {
    local disk=$1 sector=${2-512} info
    info=$(qemu-img info -f vhdx --output=json "$VHDX")
    expect_equal "the size QEMU reads" "$(jq '."virtual-size"' <<<"$info")" "$disk"
    vhdx_geometry "$disk" "$(jq '."cluster-size"' <<<"$info")" "$sector"
    expect_equal "the size of the file" "$(stat -c %s "$VHDX")" "$VHDX_SIZE"
    qemu-img check -q -f vhdx "$VHDX" || fail "qemu-img check"
    vhdiinfo "$VHDX" >"$SCRATCH/vhdiinfo"
    expect_grep 'disk type\s*: fixed' "$SCRATCH/vhdiinfo"
    expect_grep "media size.*\\($disk bytes" "$SCRATCH/vhdiinfo"
    7zz l -tvhdx "$VHDX" >"$SCRATCH/7zz" || fail "7zz l: $(cat "$SCRATCH/7zz")"
    expect_grep "^\s*Physical Size = $VHDX_SIZE\$" "$SCRATCH/7zz"
    ! grep -Ei '^(errors|warnings)|unexpected end|is not supported' "$SCRATCH/7zz" || fail "7zz complains"
    note "disk of $disk bytes: $NB blocks of $(jq '."cluster-size"' <<<"$info"), payload at $P, file of $VHDX_SIZE"
}

# served DEVICE DISKSIZE [compare]
served() {
    local device=$1 disk=$2 compare=${3-}
    new_dir export
    serve "$device" "$DIR"
    accepted "$disk"
    if [[ $compare ]]; then
        qemu-img compare -f vhdx -F raw "$VHDX" "$device" || fail "the VHDX and the partition differ"
        ((disk >= GiB)) || same_bytes "$VHDX" "$device" --ignore-initial="$P:0" --bytes="$disk"
    fi
    stop_serving
    rmdir "$DIR"
}

# Something to compare: without it a file of zeros would do.
fill() {
    new_dir mnt
    mount_at "$1" "$DIR"
    head -c "$2" /dev/urandom >"$DIR/random"
    umount "$DIR"
}

for size in $((64 * MiB)) $((GiB)) $((100 * MiB + 4096)); do
    new_ext4 "$size"
    fill "$LOOP" 20M
    served "$LOOP" "$size" compare
    fsck_clean "$LOOP"
done

new_ext4 5G
fill "$LOOP" 20M
if [[ ${QUICK-}${SANITIZED-} ]]; then
    served "$LOOP" $((5 * GiB))
else
    served "$LOOP" $((5 * GiB)) compare
fi
fsck_clean "$LOOP"

new_huge 64T
huge_ext4 "$IMAGE"
new_loop "$IMAGE"
fill "$LOOP" 20M
served "$LOOP" $((64 * TiB))
fsck_clean "$LOOP"

# The bytes behind the disk in its last block read as zeros.
new_ext4 $((100 * MiB + 4096))
new_dir export
serve --block-size=32M "$LOOP" "$DIR"
accepted $((100 * MiB + 4096))
pad=$((P + 100 * MiB + 4096))
same_bytes "$VHDX" /dev/zero --ignore-initial="$pad:0" --bytes=$((VHDX_SIZE - pad))
stop_serving
