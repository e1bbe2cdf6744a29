#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What vhdxgen create makes: read by all readers, the same when encoded again, never sparse, there only when complete.
# test: timeout=600
. "$(dirname "$0")/lib.sh"
need qemu-img vhdiinfo 7zz jq

cd "$SCRATCH"
make -s -C "$BUILD" tests/corpus/reencode
reencode=$BUILD/tests/corpus/reencode

# accepted FILE DISKSIZE BLOCK SECTOR
accepted() {
    "$VHDXGEN" check --strict "$1" >check.out || fail "$(cat check.out)"
    "$reencode" "$1" || fail "$1 is not what its own values make"
    if [[ $4 == 512 ]]; then # QEMU knows no other sector size
        expect_equal "the size QEMU reads" "$(qemu-img info -f vhdx --output=json "$1" | jq '."virtual-size"')" "$2"
        qemu-img check -q -f vhdx "$1" || fail "qemu-img check"
    fi
    vhdiinfo "$1" >vhdiinfo.out || fail "vhdiinfo: $(cat vhdiinfo.out)"
    expect_grep 'disk type\s*: fixed' vhdiinfo.out
    expect_grep "media size.*\\($2 bytes" vhdiinfo.out
    7zz l -tvhdx "$1" >7zz.out || fail "7zz: $(cat 7zz.out)"
    "$VHDXGEN" info --output=json "$1" >info.out
    jq -e --argjson v "$2" --argjson b "$3" --argjson s "$4" '.virtual_disk_size == $v and .block_size == $b and
        .logical_sector_size == $s and .bat.contiguous and .file_size == .bat.payload_end' info.out >/dev/null ||
        fail "info: $(cat info.out)"
}

note "ten geometries" # 7-Zip refuses an odd number of sectors, so these have even numbers
while read -r size block sector; do
    rm -f out.vhdx
    "$VHDXGEN" create -q --size "$size" --block-size "$block" --logical-sector "$sector" out.vhdx
    accepted out.vhdx "$size" "$block" "$sector"
    (($(stat -c '%b * %B' out.vhdx) >= $(stat -c %s out.vhdx))) || fail "the file is sparse"
done <<END
4096 1048576 512
65536 1048576 4096
$((MiB)) $((MiB)) 512
$((MiB + 1024)) $((MiB)) 512
$((64 * MiB)) $((2 * MiB)) 512
$((100 * MiB + 8192)) $((MiB)) 4096
$((100 * MiB)) $((8 * MiB)) 512
$((300 * MiB)) $((32 * MiB)) 512
$((257 * MiB)) $((256 * MiB)) 4096
$((600 * MiB + 1024)) $((64 * MiB)) 512
END

note "--identity: the same file again; without it, another identity"
"$VHDXGEN" create -q --size 3M --identity=6b29fc40-ca47-1067-b31d-00dd010662da one.vhdx
"$VHDXGEN" create -q --size 3M --identity=6b29fc40-ca47-1067-b31d-00dd010662da two.vhdx
same_bytes one.vhdx two.vhdx
"$VHDXGEN" create -q --size 3M three.vhdx
! cmp -s one.vhdx three.vhdx || fail "two files share their GUIDs"

note "--from: content with holes, and a tail that is no whole sector"
head -c 5M /dev/urandom >raw
truncate -s 40M raw
head -c 3000001 /dev/urandom | dd of=raw bs=1M oflag=seek_bytes seek=$((40 * MiB)) conv=notrunc status=none
"$VHDXGEN" create -q --from raw --block-size 2M from.vhdx
size=$(((40 * MiB + 3000001 + 511) / 512 * 512)) # happens to be an even number of sectors
accepted from.vhdx "$size" $((2 * MiB)) 512
truncate -s "$size" raw
qemu-img compare -q -f vhdx -F raw from.vhdx raw || fail "the content differs"
same_bytes from.vhdx raw --ignore-initial=$((4 * MiB)):0 --bytes="$size"
"$VHDXGEN" create -q --from raw --size 64M larger.vhdx
truncate -s 64M raw
qemu-img compare -q -f vhdx -F raw larger.vhdx raw || fail "the content of the larger disk differs"
expect_fail 1 "more than the disk" "$VHDXGEN" create -q --from raw --size 1M smaller.vhdx

note "--like and --from with a block device of 4096-byte sectors"
new_loop raw --sector-size 4096
"$VHDXGEN" create -q --like "$LOOP" like.vhdx
accepted like.vhdx $((64 * MiB)) $((MiB)) 4096
"$VHDXGEN" create -q --from "$LOOP" device.vhdx
same_bytes device.vhdx raw --ignore-initial=$((4 * MiB)):0 --bytes=$((64 * MiB))

note "nothing is replaced unasked, nothing half made stays behind"
cp one.vhdx kept.vhdx
expect_fail 2 "kept.vhdx: exists; --force" "$VHDXGEN" create -q --size 5M kept.vhdx
same_bytes one.vhdx kept.vhdx
"$VHDXGEN" create -q --force --size 5M kept.vhdx
expect_equal "the size of the new disk" "$("$VHDXGEN" info --output=json kept.vhdx | jq .virtual_disk_size)" $((5 * MiB))
expect_fail 2 "exists" "$VHDXGEN" create -q --force --size 5M /dev/null
expect_fail 4 "No such file" "$VHDXGEN" create -q --size 5M no/such/directory/x.vhdx
for arguments in "" "--size 5M" "--size 0 x" "--size 1 x" "--size 65T x" "--size 5M --block-size 3M x" \
    "--size 5M --logical-sector 1024 x" "--size x x" "--nonsense x"; do
    # shellcheck disable=SC2086 # words are meant
    expect_fail 1 "." "$VHDXGEN" create $arguments
done
mkfifo pipe
expect_fail 1 "neither a regular file nor a block device" "$VHDXGEN" create -q --from pipe x.vhdx
[[ -z $(find . -name '*.part-*') ]] || fail "left behind: $(ls -- *.part-*)"

note "interrupted"
truncate -s 2G sparse
shred -n 1 -s 300M sparse 2>/dev/null || head -c 300M /dev/urandom | dd of=sparse conv=notrunc status=none
"$VHDXGEN" create -q --from sparse --size 3G interrupted.vhdx 2>interrupted.log &
pid=$!
part_exists() { compgen -G 'interrupted.vhdx.part-*' >/dev/null || [[ -e interrupted.vhdx ]]; }
wait_until 30 part_exists
kill -TERM $pid 2>/dev/null || true
rc=0
wait $pid || rc=$?
if [[ $rc != 0 ]]; then # it may have been faster than the signal
    expect_equal "exit code when interrupted" $rc 4
    [[ ! -e interrupted.vhdx ]] || fail "an interrupted file has its name"
fi
[[ -z $(find . -name '*.part-*') ]] || fail "an interrupted file stayed behind"
