#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without the optional libraries everything is built without a warning, the tests too; what they are for is refused, with
# the reason, and all else works.
# test: timeout=240 quick=no asan=no
. "$(dirname "$0")/lib.sh"
need make gcc qemu-img

mkdir "$SCRATCH/build"
cd "$SCRATCH/build"
"$SRC/configure" -q --enable-werror --without-ntfs-3g --without-devmapper --without-liburing >configure.log 2>&1 ||
    fail "configure: $(tail config.log)"
expect_grep '^ *io_uring .liburing. +no .many requests at once are slower.$' configure.log
expect_grep '^ *NTFS .libntfs-3g. +no .* left out.$' configure.log
expect_grep '^ *libdevmapper +no .* left out.$' configure.log
make -s -j2 >make.log 2>&1 && make -s -j2 check TESTS= >>make.log 2>&1 || fail "make: $(tail make.log)"
! ldd fuse/vhdxfs vhdxgen/vhdxgen | grep -E 'ntfs-3g|devmapper|uring' || fail "linked with what it shall be without"

note "what is not there is refused"
new_ext4 48M
new_dir export
export_dir=$DIR
VHDXFS=$PWD/fuse/vhdxfs VHDXGEN=$PWD/vhdxgen/vhdxgen
expect_fail 4 'built without libntfs-3g' "$VHDXFS" -f -o "disk,state=$STATE" "$LOOP" "$export_dir"
expect_fail 4 'built without libntfs-3g' "$VHDXGEN" map "$LOOP:/file.vhdx"
expect_fail 4 'built without libdevmapper' "$VHDXGEN" map --deactivate name

note "all else works"
serve "$LOOP" "$export_dir"
P=$(payload_offset "$VHDX")
qemu-img compare -f vhdx -F raw "$VHDX" "$LOOP" >/dev/null || fail "not the partition"
# Four at a time, at the places of four zones.
head -c 8M /dev/urandom >noise
for zone in 0 1 2 3; do
    dd if=noise of="$VHDX" bs=64K skip=$((zone * 32)) seek=$(((P + 8 * MiB) / 65536 + zone * 32)) count=32 conv=notrunc,fsync \
        status=none &
    writers[zone]=$!
done
for zone in 0 1 2 3; do
    wait "${writers[zone]}" || fail "writer $zone"
done
same_bytes noise <(dd if="$VHDX" bs=1M skip=$((P / MiB + 8)) count=8 status=none)
stop_serving
same_bytes noise <(dd if="$LOOP" bs=1M skip=8 count=8 status=none)
