#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever vhdxgen map must not map is refused with its reason, its cure and the right exit code: an image for each.
# test: timeout=240
. "$(dirname "$0")/lib.sh"
need mkntfs ntfs-3g qemu-img python3 losetup setfattr
[[ -e /dev/fuse ]] || skip "/dev/fuse is missing"
! "$VHDXGEN" map "$SRC/README:/" 2>&1 | grep -q 'built without libntfs' || skip "vhdxgen was built without libntfs-3g"
USAGE=1 UNSAFE=2 INVALID=3

cd "$SCRATCH"
mkdir bin
printf '#!/bin/sh\nexec "%s" map "$@"\n' "$VHDXGEN" >bin/map # expect_fail takes programs only
chmod +x bin/map
PATH=$SCRATCH/bin:$PATH
mkdir mnt

# The volume that all others are made from, with a good file and bad ones that need no crafting.
head -c 6M /dev/urandom >raw
"$VHDXGEN" create -q --from raw good.vhdx
truncate -s 200M base.img
mkntfs -F -Q -q -c 4096 base.img >/dev/null 2>&1
python3 -B - "$SRC/tests/corpus" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from vhdxlib import Entry, Image, MIB, Item, LOCATOR, REQUIRED, locator
def make(name, edit=lambda image: None, **arguments):
    image = Image(**arguments)
    edit(image)
    image.write(name + ".vhdx")
def fill(image):
    for block in range(image.blocks):
        image.place(block, image.grow(image.block))
def state(value, offset=True):
    def edit(image):
        image.bat[2] = (image.bat[2] if offset else 0) & ~7 | value
    return edit
make("dynamic", fill, kind="dynamic")
make("differencing", fill, kind="differencing")
make("dirty", lambda image: image.dirty(Entry(0, 7, 0, [(image.bat_at, image.bat_page())])))
make("empty-log", lambda image: image.dirty(Entry(0, 1, 0)))
make("zero", state(2))
make("unmapped", state(3))
make("undefined", state(1))
make("not-present", state(0, False))
make("overlap", lambda image: image.place(1, image.payload))
make("outside", lambda image: image.place(1, image.payload + 100 * MIB))
make("locator", lambda image: image.items.append(Item(LOCATOR, REQUIRED, locator([
    ("parent_linkage", "{cccccccc-0000-4000-8000-000000000009}"), ("relative_path", ".\\parent.vhdx")]))))
make("sectors-4k", sector=4096)
make("odd", size=4 * MIB + 512)
END
mount_ntfs -o compression base.img
for name in good dynamic differencing dirty empty-log zero unmapped undefined not-present overlap outside locator sectors-4k; do
    cp --sparse=never $name.vhdx mnt/
done
mkdir mnt/dir mnt/packed
echo small >mnt/resident.vhdx
head -c 2M raw >mnt/noise.vhdx
truncate -s 20M mnt/sparse.vhdx
setfattr -h -n system.ntfs_attrib -v 0x00080000 mnt/packed
cp --sparse=never good.vhdx mnt/packed/compressed.vhdx
cp good.vhdx mnt/link.vhdx
setfattr -h -n system.ntfs_reparse_data -v 0x130000800400000000000000 mnt/link.vhdx # as of a deduplicated file
ln -s good.vhdx mnt/symlink.vhdx
unmount mnt
map base.img:/good.vhdx >good.table 2>/dev/null

note "files"
expect_fail $USAGE 'there is no /nothing.vhdx' map base.img:/nothing.vhdx
expect_fail $USAGE 'there is no /good.vhdx/x' map base.img:/good.vhdx/x
expect_fail $INVALID 'not a regular file' map base.img:/dir
expect_fail $INVALID 'not a VHDX' map base.img:/noise.vhdx
expect_fail $INVALID 'MFT record' map base.img:/resident.vhdx
expect_fail $INVALID 'is sparse.*plain copy' map base.img:/sparse.vhdx
expect_fail $INVALID "is compressed.*compact /u" map base.img:/packed/compressed.vhdx
expect_fail $INVALID 'reparse point|not a VHDX|MFT record|not a regular' map base.img:/symlink.vhdx
expect_equal "link.vhdx is a reparse point" "$(craft base.img reparse link.vhdx)" yes
expect_fail $INVALID 'reparse point' map base.img:/link.vhdx

note "the VHDX in them"
expect_fail $INVALID 'dynamic VHDX.*Convert-VHD' map base.img:/dynamic.vhdx
expect_fail $INVALID 'differencing VHDX.*Merge-VHD' map base.img:/differencing.vhdx
expect_fail $INVALID 'has a parent' map base.img:/locator.vhdx
expect_fail $UNSAFE 'log waits to be replayed.*Mount-VHD.*vhdxgen replay' map base.img:/dirty.vhdx
expect_fail $UNSAFE 'log waits to be replayed' map base.img:/empty-log.vhdx
expect_fail $INVALID '1 of its 4 blocks are zero' map base.img:/zero.vhdx
expect_fail $INVALID '1 of its 4 blocks are unmapped' map base.img:/unmapped.vhdx
expect_fail $INVALID '1 of its 4 blocks are undefined' map base.img:/undefined.vhdx
expect_fail $INVALID '1 of its 4 blocks are not-present' map base.img:/not-present.vhdx
expect_fail $INVALID 'damaged VHDX: VHDX-BAT-008' map base.img:/overlap.vhdx
expect_fail $INVALID 'damaged VHDX: VHDX-BAT-006' map base.img:/outside.vhdx
map base.img:/sectors-4k.vhdx >/dev/null 2>&1 || fail "4 KiB sectors fit a device with 512"

# spoiled CODE PATTERN CRAFT...: good.vhdx on a copy of the volume with one thing spoiled.
spoiled() {
    local code=$1 pattern=$2
    shift 2
    cp --sparse=always base.img spoiled.img
    craft spoiled.img "$@"
    expect_fail "$code" "$pattern" map "spoiled.img:/good.vhdx"
}

note "attributes of the file on the volume"
for flag in sparse compressed encrypted; do
    spoiled $INVALID "is $flag" data-flag good.vhdx $flag
done
spoiled $INVALID "is sparse" flag good.vhdx sparse # and its data say otherwise
spoiled $UNSAFE "damaged" flag good.vhdx encrypted
spoiled $INVALID 'reparse point' flag good.vhdx reparse
spoiled $INVALID 'has holes' hole good.vhdx
spoiled $INVALID 'not written up to its end' initialized good.vhdx $((9 * MiB))
spoiled $INVALID 'clusters that the volume calls free.*chkdsk' free good.vhdx
spoiled $UNSAFE 'damaged.*chkdsk' beyond good.vhdx

note "the volume's state"
spoiled $UNSAFE 'marked as dirty.*chkdsk' volume dirty
spoiled $UNSAFE 'chkdsk that did not end' volume chkdsk
spoiled $UNSAFE 'log has changes.*shut it down' log unclean
spoiled $UNSAFE 'cache of a Windows.*powercfg /h off' log cached
spoiled $INVALID 'BitLocker' oem -FVE-FS-
spoiled $INVALID 'has no NTFS' oem mkfs.fat
cp --sparse=always base.img spoiled.img
craft spoiled.img log clean
map spoiled.img:/good.vhdx 2>/dev/null | same_bytes - <(sed 's/base.img/spoiled.img/' good.table)
for signature in hibr HIBR; do
    cp --sparse=always base.img spoiled.img
    mount_ntfs spoiled.img
    { printf %s $signature && head -c 8188 /dev/zero; } >mnt/hiberfil.sys
    unmount mnt
    expect_fail $UNSAFE 'hibernated Windows.*powercfg /h off' map spoiled.img:/good.vhdx
done
cp --sparse=always base.img spoiled.img
mount_ntfs spoiled.img
head -c 8192 /dev/zero >mnt/hiberfil.sys # what a Windows that woke up leaves
unmount mnt
map spoiled.img:/good.vhdx >/dev/null 2>&1 || fail "an empty hiberfil.sys is no hibernation"

note "a volume in use"
new_loop base.img
mount_ntfs "$LOOP"
expect_fail $UNSAFE "is mounted on .*mnt.*umount" map "$LOOP:/good.vhdx"
expect_fail $UNSAFE "is mounted on .*mnt.*umount" map base.img:/good.vhdx
expect_fail any 'type 0x65735546.*DEVICE:PATH' map mnt/good.vhdx
unmount mnt
mount_ntfs -o ro "$LOOP"
map "$LOOP:/good.vhdx" | same_bytes - <(sed "s|$SCRATCH/base.img|$LOOP|" good.table)
expect_fail $UNSAFE 'read-only.*unmount it|built without libdevmapper' map --activate x "$LOOP:/good.vhdx"
unmount mnt
map "$LOOP:/good.vhdx" | same_bytes - <(sed "s|$SCRATCH/base.img|$LOOP|" good.table)
uuid=$(blkid -p -s UUID -o value "$LOOP")
map "UUID=$uuid:/good.vhdx" | same_bytes - <(sed "s|$SCRATCH/base.img|$LOOP|" good.table)

note "sectors that the device does not have"
new_disk 120M --sector-size 4096
if [[ $(blockdev --getss "$LOOP") == 4096 ]]; then
    mkntfs -F -Q -q -s 4096 "$LOOP" >/dev/null 2>&1
    mount_ntfs "$LOOP"
    cp --sparse=never good.vhdx odd.vhdx mnt/
    unmount mnt
    expect_fail $INVALID 'sectors of 512 bytes, and .* has sectors of 4096' map "$LOOP:/good.vhdx"
    expect_fail $INVALID 'sectors' map "$LOOP:/odd.vhdx"
fi

note "files on a mounted file system"
new_disk 300M
mkfs.ext4 -q -O inline_data "$LOOP"
mkdir ext4
mount_at "$LOOP" ext4
cp good.vhdx ext4/holes.vhdx
fallocate --punch-hole --offset 5M --length 64K ext4/holes.vhdx
fallocate -l 11M ext4/unwritten.vhdx
dd if=good.vhdx of=ext4/unwritten.vhdx bs=1M count=9 conv=notrunc status=none
echo tiny >ext4/inline.vhdx
expect_fail $INVALID 'a hole in block 1 of the disk' map ext4/holes.vhdx
expect_fail $INVALID 'never written' map ext4/unwritten.vhdx
expect_fail $INVALID 'metadata' map ext4/inline.vhdx
unmount ext4
if command -v mkfs.xfs >/dev/null; then
    new_disk 400M
    mkfs.xfs -q -m reflink=1 "$LOOP"
    mkdir xfs
    mount_at "$LOOP" xfs
    cp --sparse=never good.vhdx xfs/one.vhdx
    if cp --reflink=always xfs/one.vhdx xfs/two.vhdx 2>/dev/null; then
        expect_fail $INVALID 'reflink' map xfs/two.vhdx
    fi
    unmount xfs
fi
if command -v mkfs.btrfs >/dev/null && grep -q btrfs /proc/filesystems; then
    new_disk 400M
    mkfs.btrfs -q "$LOOP"
    mkdir btrfs
    mount_at "$LOOP" btrfs
    cp good.vhdx btrfs/
    expect_fail $INVALID 'btrfs' map btrfs/good.vhdx
    unmount btrfs
fi
cp good.vhdx /dev/shm/
expect_fail $INVALID 'not known' map /dev/shm/good.vhdx

note "words on the command line"
expect_fail $USAGE 'one DEVICE:PATH or FILE' map
expect_fail $USAGE 'one DEVICE:PATH or FILE' map a b
expect_fail $USAGE '--format is' map --format=xml base.img:/good.vhdx
expect_fail $USAGE 'no name' map --name='a b' base.img:/good.vhdx
expect_fail $USAGE 'no name' map --activate '' base.img:/good.vhdx
expect_fail $USAGE 'exclude' map --activate a --deactivate b base.img:/good.vhdx
expect_fail $USAGE 'nothing else' map --deactivate b base.img:/good.vhdx
expect_fail $USAGE 'prints no table' map --activate a --format=json base.img:/good.vhdx
expect_fail $USAGE 'characters' map --device='a b' base.img:/good.vhdx
expect_fail $USAGE 'no such' map UUID=00000000-dead:/good.vhdx
expect_fail $USAGE 'begins with a slash' map base.img:good.vhdx
expect_fail $USAGE 'block device.*:/PATH' map "$LOOP"
expect_fail any 'needs a block device|without libdevmapper' map --activate x base.img:/good.vhdx
