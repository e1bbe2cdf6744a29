#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# -o disk: a GPT with an NTFS volume that holds the VHDX, as many independent readers see it; and its write side.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
need sgdisk mmls fls istat 7zz ntfs-3g ntfsfix ntfsresize ntfsls ntfscluster vhdiinfo qemu-img

# attach_volume: the NTFS volume of DISK as a loop device, VOLUME. More losetup options may follow.
attach_volume() {
    local size
    size=$(stat -c %s "$DISK")
    new_loop "$DISK" --offset "$MiB" --sizelimit $((size - 2 * MiB)) "$@"
    VOLUME=$LOOP
}

# detach_volume SOURCE: and wait until the source is given back.
detach_volume() {
    free_loop "$VOLUME"
    wait_until "$DEADLINE" device_free "$1"
}

# serve_disk SOURCE [options]: in a new directory; sets DISK.
serve_disk() {
    new_dir export
    serve -o "disk${2+,$2}" "$1" "$DIR"
    DISK=$DIR/disk.img
}

# says PATTERN COMMAND...: its output (and success).
says() {
    local pattern=$1 out
    shift
    out=$(timeout "$DEADLINE" "$@" 2>&1) || fail "$*: $out"
    grep -Eq -- "$pattern" <<<"$out" || fail "no /$pattern/ in the output of $*: ${out:0:4000}"
}

# check_readers SIZE: what does not touch the file's clusters one by one.
check_readers() {
    local vhdx
    vhdx=$(stat -c %s "$VHDX")
    says 'No problems found' sgdisk -v "$DISK"
    says '0000002048 .* vhdxfs' mmls "$DISK"
    says 'r/r 64-128-[0-9]+:.ext4.vhdx' fls -o 2048 "$DISK"
    says " $vhdx +$vhdx +ext4.vhdx" 7zz l "$DISK"
    attach_volume --read-only
    says 'processed successfully' ntfsfix -n "$VOLUME"
    says 'Space in use' ntfsresize -i -f "$VOLUME"
    says "^ *$vhdx .* ext4.vhdx" ntfsls -l "$VOLUME"
    # One run.
    says 'ext4.vhdx' ntfscluster -f -F ext4.vhdx "$VOLUME"
    expect_equal "the runs of the file" \
        "$(ntfsinfo -f -v -F ext4.vhdx "$VOLUME" | grep -A 4 'Runlist:.*VCN' | grep -cE '^\s+0x[0-9a-f]+\s+0x[0-9a-f]+\s+0x')" 1
    mkdir -p "$SCRATCH/ntfs"
    mount_at "$VOLUME" "$SCRATCH/ntfs" -t ntfs-3g -o ro
    INNER=$SCRATCH/ntfs/ext4.vhdx
    expect_equal "the file's size" "$(stat -c %s "$INNER")" "$vhdx"
    qemu-img check -q -f vhdx "$INNER"
    says "Media size.*\($1 bytes\)" vhdiinfo "$INNER"
}

note "partitions of 64 MiB, 1 GiB, an odd size, 2 TiB and 15 TiB"
sizes=(64M 1G 104864256 2T 15T)
[[ ! ${SANITIZED-} ]] || sizes=(64M 15T)
for size in "${sizes[@]}"; do
    case $size in
    *T)
        new_huge "$size"
        mke2fs -q -F -t ext4 -m 0 -O ^has_journal,bigalloc,^resize_inode,meta_bg -C 64M -i $((64 * MiB)) \
            -E lazy_itable_init=1,nodiscard "$IMAGE"
        SOURCE=$IMAGE
        ;;
    *)
        new_ext4 "$size"
        SOURCE=$LOOP
        ;;
    esac
    begin=${EPOCHREALTIME/./}
    serve_disk "$SOURCE"
    end=${EPOCHREALTIME/./}
    image=("$STATE"/*.disk)
    real=$(($(stat -c %b "${image[0]}") * 512))
    note "$size: served in $(((end - begin) / 1000)) ms, the volume takes $((real / 1000)) kB"
    ((real < 64000000)) || fail "$real bytes for $size"
    bytes=$(stat -Lc %s "$SOURCE")
    [[ ! -b $SOURCE ]] || bytes=$(blockdev --getsize64 "$SOURCE")
    check_readers "$bytes"
    same_bytes "$INNER" "$VHDX" -n $((16 * MiB))
    if ((bytes < 200 * MiB)); then
        same_bytes "$INNER" "$VHDX"
        qemu-img compare -q -f vhdx -F raw "$INNER" "$SOURCE"
        says 'lost\+found' 7zz l "$INNER"
        says 'Allocated File' istat -o 2048 "$DISK" 64
    fi
    unmount "$SCRATCH/ntfs"
    free_loop "$VOLUME"
    stop_serving
    rm -f "$STATE"/*
done

note "the same volume after a restart, with what was written to it and to the file in it"
new_ext4 96M
PART=$LOOP
serve_disk "$PART"
attach_volume
mount_at "$VOLUME" "$SCRATCH/ntfs" -t ntfs-3g
dd if=/dev/urandom of="$SCRATCH/icon" bs=100K count=1 status=none
dd if=/dev/urandom of="$SCRATCH/data" bs=1M count=20 status=none
cp "$SCRATCH/icon" "$SCRATCH/ntfs/shortcut.ico"
mkdir "$SCRATCH/ext4"
P=$(payload_offset "$INNER")
new_loop "$INNER" --offset "$P" --sizelimit $((96 * MiB))
mount_at "$LOOP" "$SCRATCH/ext4"
cp "$SCRATCH/data" "$SCRATCH/ext4/data"
unmount "$SCRATCH/ext4"
free_loop "$LOOP"
wait_until "$DEADLINE" unmount "$SCRATCH/ntfs"
detach_volume "$PART"
fsck_clean "$PART"
mount_at "$PART" "$SCRATCH/ext4" -o ro
same_bytes "$SCRATCH/data" "$SCRATCH/ext4/data"
unmount "$SCRATCH/ext4"
sum=$(sha256sum <"$DISK")
wait_until "$DEADLINE" device_free "$PART"
stop_serving
serve_disk "$PART"
expect_equal "the disk after a restart" "$(sha256sum <"$DISK")" "$sum"
wait_until "$DEADLINE" device_free "$PART"
attach_volume --read-only
says 'processed successfully' ntfsfix -n "$VOLUME"
mount_at "$VOLUME" "$SCRATCH/ntfs" -t ntfs-3g -o ro
same_bytes "$SCRATCH/icon" "$SCRATCH/ntfs/shortcut.ico"
unmount "$SCRATCH/ntfs"
detach_volume "$PART"

note "one writer"
exec 3<>"$DISK"
expect_fail 1 'busy' dd if=/dev/zero of="$VHDX" bs=4096 count=0 conv=notrunc
: <"$VHDX"
expect_grep "ext4.vhdx: disk.img is open for writing" "$SERVE_LOG"
exec 3>&-
wait_until "$DEADLINE" device_free "$PART"
exec 3<>"$VHDX"
expect_fail 1 'busy' dd if=/dev/zero of="$DISK" bs=4096 count=0 conv=notrunc
: <"$DISK"
exec 3>&-
wait_until "$DEADLINE" device_free "$PART"

note "the firewall guards the partition here, too"
file_at=$(place_on_disk "$DISK" "$(stat -c %s "$VHDX")")
superblock=$((file_at + P + 1024))
expect_fail 1 'Input/output' dd if=/dev/zero of="$DISK" bs=1024 seek=$((superblock / 1024)) count=1 conv=notrunc
expect_grep "destroy the ext4 superblock" "$SERVE_LOG"
expect_fail any 'not permitted' rm -f "$DISK"
expect_fail any 'not permitted' truncate -s 1M "$DISK"
wait_until "$DEADLINE" device_free "$PART"

note "hole punching: on the payload and around the file, not on the VHDX's metadata"
expect_fail any 'not permitted' fallocate -p -o $((file_at + 2 * MiB)) -l 65536 "$DISK"
fallocate -p -o $((file_at + P + 80 * MiB)) -l 65536 "$DISK"
fallocate -p -o $((100 * MiB)) -l "$MiB" "$DISK"
wait_until "$DEADLINE" device_free "$PART"
stop_serving
fsck_clean "$PART"

note "another size: a new volume, the old one kept"
truncate -s 120M "$IMAGE"
losetup --set-capacity "$PART"
resize2fs -f "$PART" >/dev/null 2>&1
serve_disk "$PART"
expect_grep "size or geometry has changed; building the NTFS volume anew" "$SERVE_LOG"
check_readers $((120 * MiB))
unmount "$SCRATCH/ntfs"
detach_volume "$PART"
stop_serving
expect_equal "images that were set aside" "$(find "$STATE" -name '*.disk.*' | wc -l)" 1

note "-o ro writes nothing; -o cow keeps the volume in memory"
rm -f "$STATE"/*
serve_disk "$PART" ro
expect_fail 1 'Read-only' dd if=/dev/zero of="$DISK" bs=4096 count=0 conv=notrunc
check_readers $((120 * MiB))
unmount "$SCRATCH/ntfs"
detach_volume "$PART"
stop_serving
expect_equal "files in the state" "$(ls -A "$STATE")" ""
before=$(sha256sum <"$PART")
serve_disk "$PART" "cow=$SCRATCH/overlay"
check_readers $((120 * MiB))
unmount "$SCRATCH/ntfs"
detach_volume "$PART"
attach_volume
mount_at "$VOLUME" "$SCRATCH/ntfs" -t ntfs-3g
dd if=/dev/urandom of="$INNER" bs=1M seek=$((P / MiB + 60)) count=8 conv=notrunc status=none
unmount "$SCRATCH/ntfs"
detach_volume "$PART"
stop_serving
expect_equal "the partition under the overlay" "$(sha256sum <"$PART")" "$before"
[[ -z $(find "$STATE" -name '*.disk') ]] || fail "-o cow made an image"

note "what does not go together"
: >"$SCRATCH/plain"
expect_fail 1 'must be a directory' "$VHDXFS" -o "disk,state=$STATE" "$PART" "$SCRATCH/plain"
expect_fail 1 'name of the disk' "$VHDXFS" -o "disk,name=disk.img,state=$STATE" "$PART" "$DIR"
expect_fail 1 'needs -o disk' "$VHDXFS" --reset-disk -o "state=$STATE" "$PART" "$DIR"
expect_fail 1 'neither ro nor cow' "$VHDXFS" --reset-disk -o "disk,ro,state=$STATE" "$PART" "$DIR"
fsck_clean "$PART"
