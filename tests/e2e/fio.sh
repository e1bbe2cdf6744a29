#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fio writes, trims and reads back with checksums: direct and buffered on the exposed file and on loop
# devices over it, all at once, in blocks of any size. What is exposed afterwards is what is on the device.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
need fio

size=$([[ ${QUICK-}${SANITIZED-} ]] && echo 12 || echo 96) # MiB for each job
reserved=64                                                # MiB of file system in front
jobs=6
disk=$((reserved + jobs * size))
new_disk "${disk}M"
device=$LOOP
mke2fs -q -F -t ext4 -E nodiscard "$device" "${reserved}M"
vhdx_geometry $((disk * MiB)) "$MiB"
new_dir export
serve "$device" "$DIR"
# fio trims devices only. Its mmap engine fails its own checks on any device, so it is not used.
new_loop "$VHDX" --offset $((P + reserved * MiB + 3 * size * MiB)) --sizelimit "${size}M"
buffered=$LOOP
new_loop "$VHDX" --offset $((P + reserved * MiB + 5 * size * MiB)) --direct-io=on
trimmed=$LOOP

cat >"$SCRATCH/jobs" <<END
[global]
verify=crc32c
verify_fatal=1
verify_backlog=256
do_verify=1
size=${size}M
loops=$([[ ${QUICK-}${SANITIZED-} ]] && echo 1 || echo 4)
randseed=$((SRANDOM % 100000))
allow_file_create=0
overwrite=1
fsync=97
thread

[direct]
filename=$VHDX
ioengine=libaio
iodepth=16
direct=1
rw=randrw
bsrange=4k-256k
blockalign=4k
offset=$((P + reserved * MiB))

[direct-sectors]
filename=$VHDX
ioengine=psync
direct=1
rw=randwrite
bsrange=512-64k
blockalign=512
offset=$((P + reserved * MiB + size * MiB))

[buffered-odd]
filename=$VHDX
ioengine=psync
rw=randrw
bsrange=1k-100k
bs_unaligned=1
offset=$((P + reserved * MiB + 2 * size * MiB))

[loop-buffered]
ioengine=psync
rw=randrw
bsrange=4k-64k
blockalign=4k
filename=$buffered

[sequential]
filename=$VHDX
ioengine=libaio
iodepth=4
direct=1
rw=write
bs=1M
offset=$((P + reserved * MiB + 4 * size * MiB))

[loop-trim]
ioengine=libaio
iodepth=8
direct=1
filename=$trimmed
rw=randtrimwrite
bsrange=4k-64k
blockalign=4k
END
(cd "$SCRATCH" && timeout 240 fio --output-format=json --output="$SCRATCH/out" "$SCRATCH/jobs") || {
    sed '/^{/,$d' "$SCRATCH/out"
    sed -n '/^{/,$p' "$SCRATCH/out" | jq -c '.jobs[] | select(.error != 0) | [.jobname, .error]'
    fail "fio reports an error"
}
[[ $(sed -n '/^{/,$p' "$SCRATCH/out" | jq '[.jobs[].error] | add') == 0 ]] || fail "fio reports an error"
note "fio: $(sed -n '/^{/,$p' "$SCRATCH/out" | jq -r '[.jobs[] | .write.io_bytes + .read.io_bytes] | add / 1048576 | floor') MiB, $(
    sed -n '/^{/,$p' "$SCRATCH/out" | jq '[.jobs[] | .trim.total_ios] | add') trims, no error"

free_loop "$buffered"
free_loop "$trimmed"
cp --sparse=always "$VHDX" "$SCRATCH/through"
stop_serving
same_bytes "$SCRATCH/through" "$device" --ignore-initial="$P:0"
fsck_clean "$device"
