#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What vhdxgen map prints for VHDX files on real NTFS volumes, in one piece, in hundreds, and 2 TiB long: the places
# are what another reader of NTFS finds, and reading and writing there is reading and writing the disk.
# test: timeout=240 asan=no
. "$(dirname "$0")/lib.sh"
need mkntfs ntfs-3g qemu-img qemu-io python3 jq losetup
"$VHDXGEN" map --help >/dev/null
[[ -e /dev/fuse ]] || skip "/dev/fuse is missing"
! "$VHDXGEN" map "$SRC/README:/" 2>&1 | grep -q 'built without libntfs' || skip "vhdxgen was built without libntfs-3g"

cd "$SCRATCH"
table() { python3 -B "$SRC/tests/e2e/map_table.py" "$@"; }
fresh_ntfs() { # FILE SIZE [mkntfs's options]
    truncate -s "$2" "$1"
    mkntfs -F -Q -q "${@:3}" "$1" >/dev/null 2>&1
}
mkdir mnt

# A disk of 40 MiB with an ext4 full of noise, and its VHDX.
truncate -s 40M raw
mkdir root
head -c 20M /dev/urandom >root/noise
mke2fs -q -F -t ext4 -d root raw
"$VHDXGEN" create -q --from raw plain.vhdx

note "in hundreds of pieces, beside one in a single piece"
fresh_ntfs frag.img 200M -c 4096
mount_ntfs frag.img
mkdir mnt/wsl mnt/fill
cp --sparse=never plain.vhdx mnt/whole.vhdx
python3 "$SRC/tests/fragment.py" plain.vhdx mnt/wsl/ext4.vhdx mnt/fill 32768 4096 16
unmount mnt
sha256sum frag.img >before
"$VHDXGEN" map frag.img:/wsl/ext4.vhdx >frag.table 2>err
expect_grep 'is a file' err
sha256sum --quiet -c before
lines=$(wc -l <frag.table)
note "$lines lines"
((lines > 200)) || fail "only $lines lines"
craft frag.img runs ext4.vhdx >frag.runs
table same frag.table frag.runs $((4 * MiB))
table cat frag.table | same_bytes raw -
expect_equal "the name of another device" \
    "$("$VHDXGEN" map --device=/dev/loop77 frag.img:/wsl/ext4.vhdx 2>&1 | cut -d ' ' -f 4 | sort -u)" /dev/loop77

note "written through the table, the new disk is in the file: ntfs-3g and QEMU find it"
cp raw new
head -c 3M /dev/urandom | dd of=new bs=4096 seek=2000 conv=notrunc status=none
table write frag.table new
ntfsfix -n frag.img >/dev/null
mount_ntfs frag.img
qemu-img convert -f vhdx -O raw mnt/wsl/ext4.vhdx after
same_bytes after new
qemu-img compare -q -f vhdx -F raw mnt/whole.vhdx raw || fail "the file beside it has changed"
"$VHDXGEN" check -q --strict mnt/wsl/ext4.vhdx
unmount mnt
fsck_clean raw

note "the other formats say the same"
"$VHDXGEN" map --format=json frag.img:/wsl/ext4.vhdx >frag.json
jq -r '.extents[] | "\(.offset / 512) \(.length / 512) linear \(.device_offset / 512)"' frag.json |
    same_bytes - <(cut -d ' ' -f 1-3,5 frag.table)
jq -e '.contiguous == false and .virtual_disk_size == 41943040 and .path == "/wsl/ext4.vhdx" and .file_runs >= 200' \
    frag.json >/dev/null || fail "json: $(head -c 600 frag.json)"
expect_fail 3 'pieces.*--format=dmsetup' "$VHDXGEN" map --format=losetup frag.img:/wsl/ext4.vhdx
expect_fail 3 'pieces.*command line' "$VHDXGEN" map --format=cmdline frag.img:/wsl/ext4.vhdx

note "in one piece: all formats; names as Windows finds them"
"$VHDXGEN" map frag.img:/WHOLE.vhdx >whole.table 2>/dev/null
expect_equal lines "$(wc -l <whole.table)" 1
read -r _ length _ _ start <whole.table
expect_equal cmdline "$("$VHDXGEN" map --format=cmdline --name=root -r --device=/dev/vdb frag.img:/whole.vhdx)" \
    "dm-mod.create=\"root,$("$VHDXGEN" map --format=json frag.img:/whole.vhdx | jq -r .mapping_uuid),,ro,0 $length linear /dev/vdb $start\""
command=$("$VHDXGEN" map --format=losetup --read-only frag.img:/whole.vhdx)
[[ $command == "losetup --find --show "*" --read-only "*frag.img ]] || fail "losetup: $command"
read -r _ _ _ offset limit _ <<<"$command"
new_loop frag.img "$offset" "$limit"
same_bytes raw "$LOOP"

note "blocks in any order in the file"
python3 -B - "$SRC/tests/corpus" shuffled.vhdx shuffled.raw <<'END'
import os, random, sys
sys.path.insert(0, sys.argv[1])
from vhdxlib import Image, MIB
image = Image(size=24 * MIB, block=MIB)
places = [4 * MIB + i * MIB for i in range(24)]
random.Random(7).shuffle(places)
for block, place in enumerate(places):
    image.place(block, place)
image.write(sys.argv[2])
noise = os.urandom(24 * MIB)
with open(sys.argv[2], "r+b") as f:
    for block, place in enumerate(places):
        f.seek(place)
        f.write(noise[block * MIB:(block + 1) * MIB])
open(sys.argv[3], "wb").write(noise)
END
mount_ntfs frag.img
cp --sparse=never shuffled.vhdx "mnt/wsl/käse.vhdx"
unmount mnt
"$VHDXGEN" map "frag.img:/wsl/käse.vhdx" >shuffled.table 2>/dev/null
table cat shuffled.table | same_bytes shuffled.raw -

note "2 TiB on a sparse volume, in 40 pieces"
fresh_ntfs big.img $((2 * TiB + 8 * GiB)) -c 65536
python3 -B - "$SRC/tests/corpus" big.vhdx <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from vhdxlib import Image, MIB
Image(size=1 << 41, block=MIB).write(sys.argv[2])
END
payload=$(jq .payload_offset < <("$VHDXGEN" info --output=json big.vhdx | jq .bat))
mount_ntfs big.img
head -c 256K /dev/zero >mnt/big.vhdx
unmount mnt
places=() at=$((3 * GiB)) left=$((payload + 2 * TiB))
for ((i = 0; i < 40; i++)); do
    n=$(((i < 39 ? 50 * GiB + i * 65536 : left)))
    places+=("$at" "$n")
    at=$((at + n + MiB)) left=$((left - n))
done
craft big.img place big.vhdx $((payload + 2 * TiB)) "${places[@]}"
mount_ntfs big.img
dd if=big.vhdx of=mnt/big.vhdx bs=1M count=$((payload / MiB)) conv=notrunc status=none
qemu-io -f vhdx -c 'write -P 0x31 0 1M' -c 'write -P 0x32 999G 3M' -c "write -P 0x33 $((2 * TiB - MiB)) 1M" \
    mnt/big.vhdx >/dev/null
unmount mnt
"$VHDXGEN" map big.img:/big.vhdx >big.table 2>/dev/null
expect_equal "lines for 2 TiB" "$(wc -l <big.table)" 40
craft big.img runs big.vhdx >big.runs
table same big.table big.runs "$payload"
expect_equal "the end" "$(tail -n 1 big.table | cut -d ' ' -f 1,2 | tr ' ' +)" \
    "$(tail -n 1 big.table | { read -r start _; echo "$start+$((2 * TiB / 512 - start))"; })"
for probe in "49 0" "50 $((999 * GiB))" "50 $((999 * GiB + 3 * MiB - 4096))" "51 $((2 * TiB - 4096))"; do
    table read big.table "${probe#* }" 4096 | same_bytes - <(head -c 4096 /dev/zero | tr '\0' "\\$(printf %o "${probe% *}")")
done

note "sectors of 4 KiB"
new_disk 64M --sector-size 4096
if [[ $(blockdev --getss "$LOOP") == 4096 ]]; then
    mkntfs -F -Q -q -s 4096 -c 4096 "$LOOP" >/dev/null 2>&1
    mount_ntfs "$LOOP"
    "$VHDXGEN" create -q --from raw --logical-sector=4096 4k.vhdx
    cp --sparse=never 4k.vhdx mnt/
    unmount mnt
    "$VHDXGEN" map "$LOOP:/4k.vhdx" >4k.table
    table cat 4k.table | same_bytes raw -
else
    note "(this kernel's loop devices have sectors of 512 bytes only)"
fi

note "a file on a mounted file system, through FIEMAP"
for type in ext4 xfs; do
    command -v "mkfs.$type" >/dev/null || continue
    new_disk 400M
    "mkfs.$type" -q "$LOOP"
    mkdir "$type"
    mount_at "$LOOP" "$type"
    for ((i = 0; i < 40; i++)); do # not in one piece
        dd if=plain.vhdx of="$type/file.vhdx" bs=1200K skip="$i" seek="$i" count=1 conv=notrunc,fsync status=none
        dd if=/dev/zero of="$type/gap$i" bs=64K count=1 conv=fsync status=none
    done
    "$VHDXGEN" map "$type/file.vhdx" >file.table
    expect_fail 2 'mounted file system' "$VHDXGEN" map --activate x "$type/file.vhdx"
    unmount "$type"
    expect_equal "the device below" "$(cut -d ' ' -f 4 file.table | sort -u)" "$LOOP"
    note "$type: $(wc -l <file.table) pieces"
    table cat file.table | same_bytes raw -
done
