#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest gets disk.img as its disk: Linux's own NTFS driver mounts the volume in it, ext4 in the VHDX in that is written.
# The same with a disk that device-mapper composes of the pieces, without FUSE; and ntfs3 deletes the file.
# test: timeout=240 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need qemu-img ntfsfix dmsetup

PART_SIZE=$((320 * MiB))
new_ext4 "$PART_SIZE"
PART=$LOOP
new_dir export
serve -o disk "$PART" "$DIR"
DISK=$DIR/disk.img
vhdx_geometry "$PART_SIZE" "$MiB"
FILE_AT=$(place_on_disk "$DISK" $VHDX_SIZE)
dd if=/dev/urandom of="$SCRATCH/data" bs=1M count=10 status=none

cat >"$SCRATCH/write" <<'END'
#!/bin/sh
# write VOLUME PAYLOAD_OFFSET COPIES PREFIX: puts copies of /data onto the ext4 in the VHDX in the NTFS volume.
set -e
mkdir -p /ntfs /ext4
mount -t ntfs3 "$1" /ntfs
ls -l /ntfs
echo made in the guest >/ntfs/shortcut.ico
losetup -o "$2" /dev/loop0 /ntfs/ext4.vhdx
mount -t ext4 /dev/loop0 /ext4
i=0
while [ $i -lt "$3" ]; do
    cp /data "/ext4/$4$i"
    i=$((i + 1))
done
rm -f /ext4/none
sync
umount /ext4
losetup -d /dev/loop0
umount /ntfs
END

cat >"$SCRATCH/disk" <<'END'
#!/bin/sh
exec sh /write /dev/vda1 "$@" virtio
END

cat >"$SCRATCH/composed" <<'END'
#!/bin/sh
# vda: the image of head and tail; vdb: the VHDX's metadata and BAT; vdc: the partition. Arguments: the payload's offset, then
# where the head begins in the image, its end on the disk, the size of vdb and of the tail, in sectors.
set -e
part=$(blockdev --getsz /dev/vdc)
{
    echo "0 $3 linear /dev/vda $2"
    echo "$3 $4 linear /dev/vdb 0"
    echo "$(($3 + $4)) $part linear /dev/vdc 0"
    echo "$(($3 + $4 + part)) $5 linear /dev/vda $(($2 + $3))"
} >/table
dmsetup create disk </table
dmsetup create volume --table "0 $(($3 + $4 + part + $5 - 4096)) linear /dev/mapper/disk 2048"
sh /write /dev/mapper/volume "$1" 4 composed
dmsetup remove volume
dmsetup remove disk
END

cat >"$SCRATCH/delete" <<'END'
#!/bin/sh
mkdir -p /ntfs
mount -t ntfs3 /dev/vda1 /ntfs || exit 1
rm /ntfs/ext4.vhdx || exit 1
umount /ntfs
mount -t ntfs3 /dev/vda1 /ntfs || exit 1
dd if=/dev/zero of=/ntfs/big bs=1M count=260 2>&1
sync
umount /ntfs
exit 0
END

# guest SCRIPT [options of run] -- [arguments]
guest() {
    local script=$1 options=() rc=0
    shift
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    "$SRC/tests/guest/run" --module ntfs3 --module ext4 --module loop --module dm-mod --program dmsetup --timeout 100 \
        --file "$SCRATCH/data" --file "$SCRATCH/write" "${options[@]}" "$SCRATCH/$script" "$@" \
        >"$SCRATCH/out" 2>&1 || rc=$?
    [[ $rc != 77 ]] || skip "$(tail -n 1 "$SCRATCH/out")"
    [[ $rc == 0 ]] || fail "the guest's $script ended with $rc: $(cat "$SCRATCH/out")"
}

# check_volume FILE: of the disk in FILE.
check_volume() {
    new_loop "$1" --offset "$MiB" --sizelimit $(($(stat -c %s "$1") - 2 * MiB)) --read-only
    ntfsfix -n "$LOOP" >"$SCRATCH/ntfsfix" || fail "ntfsfix: $(cat "$SCRATCH/ntfsfix")"
    ntfsresize -i -f "$LOOP" >"$SCRATCH/ntfsresize" 2>&1 || fail "ntfsresize: $(cat "$SCRATCH/ntfsresize")"
    ntfscat -f "$LOOP" shortcut.ico >"$SCRATCH/icon"
    expect_equal "the other file" "$(cat "$SCRATCH/icon")" "made in the guest"
    losetup --detach "$LOOP"
}

# check_data PREFIX COPIES: on the partition.
check_data() {
    local i
    fsck_clean "$PART"
    mkdir -p "$SCRATCH/ext4"
    mount_at "$PART" "$SCRATCH/ext4" -o ro
    for ((i = 0; i < $2; i++)); do
        same_bytes "$SCRATCH/data" "$SCRATCH/ext4/$1$i"
    done
    unmount "$SCRATCH/ext4"
}

note "disk.img as a virtio disk: ntfs3, a loop device in it, 200 MB onto ext4"
guest disk --disk "$DISK" -- "$P" 20
note "$(cat "$SCRATCH/out")"
check_volume "$DISK"
wait_until "$DEADLINE" device_free "$PART"
log_caught_up
! grep -q fence "$SERVE_LOG" || fail "the fence has closed"
check_data virtio 20

note "the same of pieces, with device-mapper"
stop_serving
image=("$STATE"/*.disk)
serve -o disk "$PART" "$DIR"
dd if="$VHDX" of="$SCRATCH/meta" bs=1M count=$((P / MiB)) status=none
wait_until "$DEADLINE" device_free "$PART"
stop_serving
tail=$(($(stat -c %s "${image[0]}") - 65536 - FILE_AT))
guest composed --disk "${image[0]}" --disk "$SCRATCH/meta" --disk "$PART" -- \
    "$P" 128 $((FILE_AT / 512)) $((P / 512)) $((tail / 512))
check_data composed 4

note "ntfs3 deletes the file and takes all room: the fence"
serve -o disk "$PART" "$DIR"
check_volume "$DISK"
wait_until "$DEADLINE" device_free "$PART"
sum=$(sha256sum <"$PART")
guest delete --disk "$DISK" --
expect_grep 'the fence is closed' "$SERVE_LOG"
wait_until "$DEADLINE" device_free "$PART"
expect_equal "the partition" "$(sha256sum <"$PART")" "$sum"
stop_serving
check_data virtio 20
