#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The disk as a USB stick: a guest serves the partition, makes disk.img a mass-storage gadget, and on the other side of an
# emulated USB bus (dummy_hcd) finds a stick, mounts its NTFS, reads the VHDX, and writes to the ext4 in it.
# test: timeout=300 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need mkntfs

disk=$((192 * MiB))
new_disk "$disk"
part=$LOOP image=$IMAGE
mke2fs -q -F -t ext4 -b 4096 -E nodiscard "$part"
new_dir mnt
mnt=$DIR
head -c 8M /dev/urandom >"$SCRATCH/from-linux"
head -c 4M /dev/urandom >"$SCRATCH/from-stick"
mount "$part" "$mnt"
cp "$SCRATCH/from-linux" "$mnt"
umount "$mnt"
blockdev --flushbufs "$part"
vhdx_geometry "$disk" "$MiB"

cat >"$SCRATCH/guest" <<'END'
#!/bin/bash
set -euo pipefail
fail() { echo "FAIL: $*"; sed 's/^/[vhdxfs] /' /tmp/log | tail -n 20; exit 1; }
wait_for() { for ((i = 0; i < 300; i++)); do "$@" && return; sleep 0.05; done; fail "$*"; }
mkdir /export /ntfs /ext4 /state
vhdxfs -f --pidfile=/run/pid -o state=/state,disk /dev/vda /export >/tmp/log 2>&1 &
pid=$!
wait_for test -s /run/pid
expected=$(stat -c %s /export/disk.img)

# Removable, as a stick is: whoever has plugged it in may eject it.
insmod /modules/g_mass_storage.ko file=/export/disk.img removable=1 || fail "insmod g_mass_storage: $?"
wait_for test -b /dev/sda1
echo "a stick: $(cat /sys/bus/usb/devices/1-1/{speed,product} | tr '\n' ' ')$(blockdev --getsize64 /dev/sda) bytes"
[[ $(blockdev --getsize64 /dev/sda) == "$expected" ]] || fail "the stick has another size than $expected"
! mount -t ext4 /dev/vda /ext4 2>/dev/null || fail "the partition is mounted beside the stick"
mount -t ntfs3 /dev/sda1 /ntfs
[[ $(head -c 8 /ntfs/ext4.vhdx) == vhdxfile ]] || fail "no VHDX: $(ls -la /ntfs)"
[[ $(stat -c %s /ntfs/ext4.vhdx) == "$SIZE" ]] || fail "the VHDX has another size"
losetup -o "$P" /dev/loop0 /ntfs/ext4.vhdx
mount -t ext4 /dev/loop0 /ext4
start=$(cut -d ' ' -f 1 /proc/uptime)
cmp /ext4/from-linux /from-linux || fail "the file in the ext4"
echo "8 MiB compared between uptime $start and $(cut -d ' ' -f 1 /proc/uptime) s"
cp /from-stick /ext4/
sync
umount /ext4
losetup -d /dev/loop0
umount /ntfs

# Pulled: the partition is Linux's again.
echo 1 >/sys/block/sda/device/delete
rmmod g_mass_storage
wait_for mount -t ext4 /dev/vda /ext4
cmp /ext4/from-stick /from-stick || fail "what came by the stick"
umount /ext4
kill "$pid"
wait "$pid" || fail "exit code $? of vhdxfs"
! dmesg | grep -E 'I/O error|Sense Key|EXT4-fs (error|warning)|ntfs3.*(corrupt|fail)' || fail "the kernel complains"
END
rc=0
"$SRC/tests/guest/run" --flavour amd64 --timeout 250 --module dummy_hcd --module usb_storage --module sd_mod \
    --module ext4 --module ntfs3 --module fuse --module-file g_mass_storage --program "$VHDXFS" --program mkntfs \
    --program cmp --program stat --env "P=$P" --env "SIZE=$VHDX_SIZE" \
    --file "$SCRATCH/from-linux" --file "$SCRATCH/from-stick" --disk "$image" "$SCRATCH/guest" || rc=$?
((rc != 77)) || exit 77
((rc == 0)) || fail "the guest failed"
blockdev --flushbufs "$part"
fsck_clean "$part"
mount -o ro "$part" "$mnt"
same_bytes "$mnt/from-linux" "$SCRATCH/from-linux"
same_bytes "$mnt/from-stick" "$SCRATCH/from-stick"
umount "$mnt"
