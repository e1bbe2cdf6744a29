#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxgen map in a kernel with device-mapper: a VHDX in many pieces on an NTFS partition becomes a device, its ext4 is
# written to, and the file on the volume has what was written; while it is mapped nobody can mount the volume, and what
# changes behind its back is noticed; the command line of --format=cmdline makes the device that a system boots from.
# test: timeout=240 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need mkntfs ntfs-3g qemu-img python3 losetup sgdisk dmsetup gcc busybox debugfs
[[ -e /dev/fuse ]] || skip "/dev/fuse is missing"
"$SRC/tests/guest/kernel" >/dev/null 2>"$SCRATCH/log" || skip "$(tail -n 1 "$SCRATCH/log")"

cd "$SCRATCH"
mkdir mnt

# --- the disk: a GPT with one NTFS partition, on it a VHDX in many pieces and one in one piece, with a root on it.

head -c 8M /dev/urandom >noise
mkdir root
cp noise root/noise
truncate -s 96M data.raw
mke2fs -q -F -t ext4 -d root data.raw
mkdir -p root/{bin,sbin,proc,dev,sys,tmp}
cp "$(command -v busybox)" root/bin/busybox
ln -s busybox root/bin/sh
cat >root/sbin/init <<'END'
#!/bin/sh
b=/bin/busybox
$b echo "root is $($b head -c 11 /marker), $($b sha256sum </noise | $b cut -c 1-16)"
echo "written by its init" >/seen
$b sync
[ $$ != 1 ] || { $b mount -o remount,ro /; $b poweroff -f; }
END
echo "on the VHDX." >root/marker
chmod 755 root/sbin/init
truncate -s 32M root.raw
mke2fs -q -F -t ext4 -b 4096 -d root root.raw
"$VHDXGEN" create -q --from data.raw data.vhdx
"$VHDXGEN" create -q --from root.raw root.vhdx

truncate -s 320M ntfs.img
mkntfs -F -Q -q -c 4096 ntfs.img >/dev/null 2>&1
mount_ntfs ntfs.img
mkdir mnt/wsl mnt/fill
cp --sparse=never root.vhdx mnt/wsl/root.vhdx
python3 "$SRC/tests/fragment.py" data.vhdx mnt/wsl/ext4.vhdx mnt/fill 196608 4096 64
unmount mnt
truncate -s 322M disk
sgdisk --clear --new=1:2048:+320M --typecode=1:0700 --partition-guid=1:01234567-89AB-CDEF-0123-456789ABCDEF disk >/dev/null
dd if=ntfs.img of=disk bs=1M seek=1 conv=notrunc,sparse status=none
pieces=$("$VHDXGEN" map ntfs.img:/wsl/ext4.vhdx 2>/dev/null | wc -l)
note "$pieces pieces"
((pieces > 100)) || fail "only $pieces pieces"

# The same on a disk with sectors of 4 KiB.
truncate -s 64M 4k.img
mkntfs -F -Q -q -s 4096 -c 4096 4k.img >/dev/null 2>&1
mount_ntfs 4k.img
"$VHDXGEN" create -q --from root.raw --logical-sector=4096 4k.vhdx
cp --sparse=never 4k.vhdx mnt/
unmount mnt

# --- what a defragmenter would do to the volume in the middle of an activation: a patch, and who applies it.

cp --sparse=always ntfs.img moved.img
craft moved.img move root.vhdx
python3 - ntfs.img moved.img patch <<'END'
import struct, sys
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "rb") as b, open(sys.argv[3], "wb") as patch:
    at = 0
    while old := a.read(4096):
        new = b.read(4096)
        if old != new:
            patch.write(struct.pack("<Q", at) + old + new)
        at += 4096
END
cat >meddle.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Applies the patch when the table is loaded: the last moment before the mapping holds the device. */
static void meddle(void)
{
    struct { uint64_t at; char before[4096], after[4096]; } __attribute__((packed)) change;
    int patch = open("/patch", O_RDONLY), device = open("/dev/vda1", O_WRONLY);

    while (read(patch, &change, sizeof(change)) == sizeof(change))
        if (pwrite(device, change.after, 4096, (off_t)change.at) != 4096)
            abort();
    fsync(device);
    close(device);
    close(patch);
}

int dm_task_add_target(void *task, uint64_t start, uint64_t size, const char *type, const char *parameters);
int dm_task_add_target(void *task, uint64_t start, uint64_t size, const char *type, const char *parameters)
{
    int (*real)(void *, uint64_t, uint64_t, const char *, const char *);
    static int done;

    if (!done++)
        meddle();
    *(void **)&real = dlsym(RTLD_NEXT, "dm_task_add_target");
    return real(task, start, size, type, parameters);
}
END
gcc -shared -fPIC -o meddle.so meddle.c

# --- in the guest

cat >guest.sh <<'END'
#!/bin/bash
set -euo pipefail
trap 'echo "FAIL: line $LINENO: $BASH_COMMAND"' ERR
V=/dev/vda1 NAME=/wsl/ext4.vhdx
fail() { echo "FAIL: $*"; exit 1; }
refused() { # CODE PATTERN COMMAND...
    local want=$1 pattern=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    [[ $rc == "$want" ]] || fail "exit code $rc instead of $want: $*: $out"
    grep -Eq -- "$pattern" <<<"$out" || fail "no /$pattern/: $*: $out"
    echo "refused: $out"
}
gone() { ! dmsetup info "$1" >/dev/null 2>&1 || fail "$1 is there"; }

echo "-- the device"
vhdxgen map $V:$NAME >/tmp/table
[[ $(vhdxgen map --activate wsl "PARTUUID=01234567-89ab-cdef-0123-456789abcdef:$NAME") == /dev/mapper/wsl ]]
dmsetup table wsl | sed "s| 25[0-9]:1 | $V |" | cmp - /tmp/table
vhdxgen map $V:$NAME | cmp - /tmp/table

echo "-- while it is there"
refused 2 'maps this file already' vhdxgen map --activate wsl $V:$NAME
refused 2 'mapped already, as /dev/mapper/wsl;' vhdxgen map --activate two $V:$NAME
gone two
mkdir /ntfs /data
! mount -t ntfs3 $V /ntfs 2>/dev/null || fail "the volume could be mounted"
! mount -t ntfs3 -o ro $V /ntfs 2>/dev/null || fail "the volume could be mounted"
vhdxgen map --activate root.2 $V:/wsl/root.vhdx # another file of the same volume
dmsetup create foreign --notable
refused 2 'taken' vhdxgen map --activate foreign $V:$NAME
refused 2 'not made by vhdxgen' vhdxgen map --deactivate foreign
refused 1 'no mapping named nothing' vhdxgen map --deactivate nothing
dmsetup remove foreign

echo "-- an ext4 on it, read and written"
mount -t ext4 /dev/mapper/wsl /data
cmp /noise /data/noise
refused 2 'mounted on /data' vhdxgen map --deactivate wsl
for i in 1 2 3 4 5; do cat /noise; done >/data/new
mv /data/noise /data/renamed
head -c 3000000 /noise | dd of=/data/renamed bs=1000 seek=777 conv=notrunc 2>/dev/null
sha256sum /data/new /data/renamed
umount /data
vhdxgen map --deactivate wsl
vhdxgen map --deactivate root.2
gone wsl

echo "-- read-only"
vhdxgen map --activate wsl --read-only $V:$NAME
[[ $(blockdev --getro /dev/mapper/wsl) == 1 ]]
! dd if=/noise of=/dev/mapper/wsl bs=4096 count=1 2>/dev/null || fail "it could be written to"
mount -t ext4 -o ro /dev/mapper/wsl /data
cmp <(head -c 777000 /noise) <(head -c 777000 /data/renamed)
umount /data
vhdxgen map --deactivate wsl

echo "-- a volume that others have"
dmsetup create other --table "0 64 linear $V 0"
refused 2 'vda1 is in use by /dev/mapper/other' vhdxgen map $V:$NAME
refused 2 'vda1 is in use by /dev/mapper/other' vhdxgen map --activate wsl $V:$NAME
dmsetup remove other
refused 2 'write-protected.*--read-only' bash -c "blockdev --setro $V; vhdxgen map --activate wsl $V:$NAME"
vhdxgen map --activate wsl -r $V:$NAME
blockdev --setrw $V
vhdxgen map --deactivate wsl

echo "-- a mounted volume"
mount -t ntfs3 $V /ntfs
refused 2 'is mounted on /ntfs' vhdxgen map --activate wsl $V:$NAME
refused 2 'is mounted on /ntfs' vhdxgen map $V:$NAME
vhdxgen map /ntfs$NAME | cmp - /tmp/table # through FIEMAP
refused 2 'mounted file system.*/dev/vda1:/PATH' vhdxgen map --activate wsl /ntfs$NAME
umount /ntfs
gone wsl

echo "-- sectors of 4 KiB"
vhdxgen map --activate fourk /dev/vdb:/4k.vhdx
[[ $(blockdev --getss /dev/mapper/fourk) == 4096 ]]
mount -t ext4 /dev/mapper/fourk /data
cmp /noise /data/noise
cp /noise /data/4k
umount /data
vhdxgen map --deactivate fourk

echo "-- interrupted activations"
dmsetup create wsl --notable -u VHDXGEN-left-behind
dmsetup create other --notable -u "$(vhdxgen map --format=json $V:$NAME | sed -n 's/.*"mapping_uuid": "\(.*\)",/\1/p')"
for delay in 0.01 0.02 0.04 0.06 0.08 0.12 0.2; do
    vhdxgen map --activate wsl $V:$NAME >/dev/null 2>&1 &
    sleep $delay
    kill -9 $! 2>/dev/null || true
    wait $! 2>/dev/null || true
done
vhdxgen map --activate wsl $V:$NAME || [[ $? == 2 ]]
dmsetup table wsl | sed "s| 25[0-9]:1 | $V |" | cmp - /tmp/table
vhdxgen map --deactivate wsl
gone other

echo "-- somebody moves the file in the middle of an activation"
refused 2 'moved or changed meanwhile' env LD_PRELOAD=/meddle.so vhdxgen map --activate wsl $V:/wsl/root.vhdx
gone wsl
while read -r at n; do dd if=/patch of=$V bs=1 skip=$n count=4096 seek=$at conv=notrunc 2>/dev/null; done </unpatch
sync

echo "-- dm-mod.create of the command line"
[[ $(vhdxgen map --format=cmdline --name=sys $V:/wsl/root.vhdx) == *"linear PARTUUID=01234567-89ab-cdef-0123-456789abcdef "* ]]
concise=$(sed -E 's/.*dm-mod\.create="([^"]*)".*/\1/' /proc/cmdline)
dmsetup create --concise "$concise"
mount -t ext4 /dev/mapper/sys /data
chroot /data /sbin/init
umount /data
vhdxgen map --deactivate sys
echo "-- done"
END
python3 - patch >unpatch <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read()
for n in range(0, len(data), 8200):
    print(struct.unpack_from("<Q", data, n)[0], n + 8)
END
create=$("$VHDXGEN" map --format=cmdline --name=sys --device=/dev/vda1 ntfs.img:/wsl/root.vhdx)
rc=0
"$SRC/tests/guest/run" --timeout 180 --append "$create" --module dm-mod --module ext4 --module ntfs3 \
    --program "$VHDXGEN" --program dmsetup --program env --file noise --file patch --file unpatch --file meddle.so \
    --disk disk --qemu -drive --qemu file=4k.img,format=raw,if=none,id=fourk,cache=unsafe \
    --qemu -device --qemu virtio-blk-pci,drive=fourk,addr=0x1e,logical_block_size=4096,physical_block_size=4096 \
    guest.sh >guest.out 2>guest.err || rc=$?
cat guest.out
((rc != 77)) || skip "$(tail -n 1 guest.err)"
[[ $rc == 0 ]] || fail "the guest: $(cat guest.err)"
expect_grep '^root is on the VHDX, '"$(sha256sum <noise | cut -c 1-16)" guest.out

note "the volume afterwards: sound, and the files have what was written"
new_loop disk --offset $MiB --sizelimit $((320 * MiB))
ntfsfix -n "$LOOP" >/dev/null
mount_ntfs "$LOOP"
qemu-img convert -f vhdx -O raw mnt/wsl/ext4.vhdx after.raw
qemu-img convert -f vhdx -O raw mnt/wsl/root.vhdx after-root.raw
"$VHDXGEN" check --strict -q mnt/wsl/ext4.vhdx
unmount mnt
fsck_clean after.raw
fsck_clean after-root.raw
for name in new renamed; do
    debugfs -R "dump /$name $name.out" after.raw 2>/dev/null
    expect_equal "$name" "$(sha256sum <$name.out | cut -d ' ' -f 1)" \
        "$(sed -n "s|  /data/$name$||p" guest.out)"
done
same_bytes new.out <(cat noise noise noise noise noise)
expect_equal "what the root's init wrote" "$(debugfs -R 'cat /seen' after-root.raw 2>/dev/null)" "written by its init"

mount_ntfs 4k.img
dd if=mnt/4k.vhdx of=4k.raw bs=1M skip=4 status=none # QEMU takes sectors of 512 bytes only
"$VHDXGEN" check --strict -q mnt/4k.vhdx
unmount mnt
fsck_clean 4k.raw
debugfs -R "dump /4k 4k.out" 4k.raw 2>/dev/null
same_bytes 4k.out noise

# A kernel with CONFIG_DM_INIT=y, ext4, virtio and no initramfs boots from the line itself. Debian's has dm-mod as a
# module, so this needs one of your own.
if [[ -n ${VHDXFS_DM_INIT_KERNEL-} ]]; then
    note "boots from it"
    create=$("$VHDXGEN" map --format=cmdline --name=sys --device="${VHDXFS_DM_INIT_DEVICE:-PARTUUID=01234567-89ab-cdef-0123-456789abcdef}" ntfs.img:/wsl/root.vhdx)
    timeout 60 qemu-system-x86_64 -accel tcg -cpu qemu64,-cx16 -m 512 -display none -monitor none -nic none -no-reboot \
        -serial file:boot.out -kernel "$VHDXFS_DM_INIT_KERNEL" \
        -append "console=ttyS0 panic=-1 $create root=/dev/dm-0 rw init=/sbin/init" \
        -drive file=disk,format=raw,if=virtio </dev/null || true
    grep 'device-mapper\|EXT4\|VFS\|root is' boot.out || true
    expect_grep 'root is on the VHDX, '"$(sha256sum <noise | cut -c 1-16)" boot.out
fi
