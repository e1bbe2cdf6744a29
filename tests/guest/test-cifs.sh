#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Over SMB to another machine and back: a guest mounts the share, then the ext4 in the VHDX as WSL would, and writes; the
# host finds it all on the partition.
# test: timeout=120 quick=no
. "$(dirname "$0")/../samba/lib.sh"

size=$((160 * MiB))
new_ext4 $size
disk=$LOOP
new_dir mnt
mnt=$DIR
mount_at "$disk" "$mnt"
head -c 20M /dev/urandom >"$mnt/from-linux"
sum_linux=$(sha256sum <"$mnt/from-linux" | cut -d ' ' -f 1)
umount "$mnt"
vhdx_geometry $size $MiB
new_dir export
export_dir=$DIR
samba_share wsl "$export_dir"
serve -o "$SMB_OPTIONS" "$disk" "$export_dir"
samba_start

cat >"$SCRATCH/script" <<'END'
#!/bin/sh
set -e
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
mkdir /share
mount -t cifs //10.0.2.2/wsl /share -o "ip=10.0.2.2,vers=3.1.1,username=$USER_NAME,password=$PASSWORD,cache=none"
file=/share/ext4.vhdx
echo "size $(stat -c %s $file) blocks $(stat -c %b $file)"
head -c 8 $file
echo
losetup -o "$PAYLOAD" /dev/loop0 $file
mount -t ext4 -o discard,errors=remount-ro,data=ordered /dev/loop0 /mnt
echo "read $(sha256sum </mnt/from-linux)"
head -c 8000000 /dev/urandom >/mnt/from-guest
dd if=/mnt/from-linux of=/mnt/from-guest bs=4096 seek=1000 count=500 conv=notrunc,fsync 2>/dev/null
rm /mnt/from-linux
echo "written $(sha256sum </mnt/from-guest)"
echo beside >/share/beside
rm /share/beside
umount /mnt
losetup -d /dev/loop0
# SMB removes at the last close, and this client asks for no answer then.
rm $file || true
umount /share
echo done
END
sync "$IMAGE"
before=$(stat -c %b "$IMAGE")
note "a guest"
status=0
"$SRC/tests/guest/run" --qemu -netdev --qemu user,id=net0 --qemu -device --qemu virtio-net-pci,netdev=net0 \
    --module virtio_net --module cifs --module cmac --module ccm --module gcm --module ghash-generic --module ext4 --timeout 80 \
    --env "USER_NAME=$SMB_USER" --env "PASSWORD=$SMB_PASSWORD" --env "PAYLOAD=$P" \
    "$SCRATCH/script" >"$SCRATCH/out" 2>"$SCRATCH/errors" || status=$?
if ((status == 77)); then
    skip "$(tail -n 1 "$SCRATCH/errors")"
fi
cat "$SCRATCH/out"
((status == 0)) || {
    cat "$SCRATCH/errors"
    tail -n 20 "$SMB/smbd.log"
    fail "the guest ended with $status"
}
expect_grep "^size $VHDX_SIZE blocks $((VHDX_SIZE / 512))\$" "$SCRATCH/out"
expect_grep '^vhdxfile$' "$SCRATCH/out"
expect_grep "^read $sum_linux" "$SCRATCH/out"
expect_grep '^done$' "$SCRATCH/out"
expect_grep 'refused to delete ext4.vhdx' "$SERVE_LOG"
samba_stop

note "and on the host: the file is there, TRIM came, and what the guest wrote"
[[ -e $VHDX ]] || fail "the guest could remove the VHDX"
sync "$IMAGE"
# 20 MB were removed and 8 MB written.
(($(stat -c %b "$IMAGE") < before - 16384)) || fail "the guest's discards did not reach the partition"
wait_until 10 device_free "$disk" || fail "the share is gone, and the partition still held"
fsck_clean "$disk"
mount_at "$disk" "$mnt"
expect_equal "what the guest wrote" "$(sha256sum <"$mnt/from-guest" | cut -d ' ' -f 1)" \
    "$(sed -n 's/^written \([0-9a-f]*\).*/\1/p' "$SCRATCH/out")"
[[ ! -e $mnt/from-linux ]] || fail "what the guest removed is still there"
umount "$mnt"
stop_serving
fsck_clean "$disk"
