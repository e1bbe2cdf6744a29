#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An ext4 inside the exposed file, on a loop device as a guest's disk would be, mounted as WSL mounts it (discard), under
# stress-ng's file system stressors with their checks on. Then the same partition directly: clean, and the same files.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
need stress-ng

seconds=$([[ ${QUICK-}${SANITIZED-} ]] && echo 4 || echo 30)
new_ext4 1536M
device=$LOOP
vhdx_geometry $((1536 * MiB)) "$MiB"
new_dir export
serve "$device" "$DIR"
new_loop "$VHDX" --offset "$P" --direct-io=on
inner=$LOOP
new_dir ext4
mount -t ext4 -o discard,errors=remount-ro,data=ordered "$inner" "$DIR"
defer unmount "$DIR"

mkdir "$DIR/stress" "$DIR/kept"
# Files that stay, written before and during the load.
cp -a "$SRC/tests" "$DIR/kept/before"
timeout $((seconds + 120)) stress-ng --temp-path "$DIR/stress" --verify --timeout "${seconds}s" --metrics-brief \
    --hdd 2 --hdd-bytes 48M --iomix 1 --iomix-bytes 32M --fallocate 1 --fallocate-bytes 32M --fpunch 1 \
    --sync-file 1 --sync-file-bytes 16M --rename 1 --dentry 1 --aiol 1 --readahead 1 --readahead-bytes 16M \
    >"$SCRATCH/stress" 2>&1 &
load=$!
end_load() { kill "$load" 2>/dev/null && wait "$load" || true; }
defer end_load
for ((i = 0; i < 8; i++)); do
    head -c 3M /dev/urandom >"$DIR/kept/file.$i"
    fstrim "$DIR"
    sleep 0.2
done
rc=0
wait "$load" || rc=$?
((rc == 0)) || {
    tail -n 30 "$SCRATCH/stress"
    fail "stress-ng reports errors ($rc)"
}
! grep -E 'fail:|error:' "$SCRATCH/stress" || fail "stress-ng reports errors"
grep -q ' ro,' <(findmnt -no OPTIONS "$DIR") && fail "the file system went read-only"
(cd "$DIR/kept" && find . -type f -exec sha256sum {} +) >"$SCRATCH/sums"
umount "$DIR"
free_loop "$inner"
cp --sparse=always "$VHDX" "$SCRATCH/through"
stop_serving
same_bytes "$SCRATCH/through" "$device" --ignore-initial="$P:0"
fsck_clean "$device"
mount -o ro "$device" "$DIR"
(cd "$DIR/kept" && sha256sum --quiet -c "$SCRATCH/sums") || fail "files differ when the partition is mounted directly"
umount "$DIR"
note "stress-ng: $seconds s, $(wc -l <"$SCRATCH/sums") files as they were"
