#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An ext4 with errors, one to be recovered, one with multi-mount protection, and states that do not fit.
# test: timeout=180
. "$(dirname "$0")/lib.sh"
need debugfs dumpe2fs qemu-io python3

new_ext4 64M
disk=$LOOP
new_dir export
export_dir=$DIR
vhdxfs=("$BUILD/fuse/vhdxfs" -f -o "state=$STATE")

note "marked as having errors: only with allow_errors"
debugfs -w -R 'ssv state 2' "$disk" 2>/dev/null
expect_fail 2 'errors.*e2fsck -f' "${vhdxfs[@]}" "$disk" "$export_dir"
serve -o allow_errors "$disk" "$export_dir"
head -c 8 "$VHDX" | same_bytes - <(printf vhdxfile)
expect_grep 'warning: .*errors' "$SERVE_LOG"
stop_serving
debugfs -w -R 'ssv state 1' "$disk" 2>/dev/null

note "errors that appear later are seen at the next claim"
serve "$disk" "$export_dir"
cat "$VHDX" >/dev/null
wait_until 10 device_free "$disk"
debugfs -w -R 'ssv state 2' "$disk" 2>/dev/null
expect_fail 1 'input/output error' cat "$VHDX"
expect_grep 'open refused: .*errors' "$SERVE_LOG"
debugfs -w -R 'ssv state 1' "$disk" 2>/dev/null
cat "$VHDX" >/dev/null
stop_serving

note "a journal to be replayed: served with a warning"
new_ext4 64M
dirty=$LOOP
debugfs -w -R 'feature needs_recovery' "$dirty" >/dev/null 2>&1
serve "$dirty" "$export_dir"
expect_grep 'warning: .*not unmounted cleanly' "$SERVE_LOG"
cat "$VHDX" >/dev/null
stop_serving

note "multi-mount protection: clean passes, a living mark does not, a dead one does"
new_disk 64M
mmp=$LOOP
mke2fs -q -F -t ext4 -b 4096 -O mmp -E lazy_itable_init=1,nodiscard,mmp_update_interval=1 "$mmp"
serve "$mmp" "$export_dir"
cat "$VHDX" >/dev/null
wait_until 10 device_free "$mmp"
block=$(dumpe2fs -h "$mmp" 2>/dev/null | sed -n 's/^MMP block number: *//p')
# Another host's mark: the sequence number of the MMP block, without its checksum's feature in the way.
# shellcheck disable=SC2059 # the format is the data
mark() { printf "$(printf '\\x%02x' $(($1 & 255)) 0 0 1)" | dd of="$mmp" bs=1 seek=$((block * 4096 + 4)) conv=notrunc,fsync status=none; }
tune2fs -f -O ^metadata_csum "$mmp" >/dev/null 2>&1
mark 1
(n=2; while :; do mark $((n++)); sleep 0.3; done) &
marker=$!
defer kill_quietly "$marker"
kill_quietly() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }
expect_fail 1 'device or resource busy' cat "$VHDX"
expect_grep 'open refused: .*multi-mount protection.*another host' "$SERVE_LOG"
kill_quietly "$marker"
cat "$VHDX" >/dev/null
wait_until 10 device_free "$mmp"
note "a mark that cannot be read is no free one"
printf 'none' | dd of="$mmp" bs=1 seek=$((block * 4096)) conv=notrunc,fsync status=none
expect_fail 1 'input/output' cat "$VHDX"
expect_grep 'open refused: .*multi-mount protection cannot be read' "$SERVE_LOG"
stop_serving

note "a source that leads to something of another kind at the next claim"
twin=$SCRATCH/twin.img
cat "$disk" >"$twin"
ln -s "$twin" "$SCRATCH/partition"
serve "$SCRATCH/partition" "$export_dir"
cat "$VHDX" >/dev/null
ln -sfn "$disk" "$SCRATCH/partition"
expect_fail 1 'input/output' cat "$VHDX"
expect_grep 'open refused: .*was an image file and is a block device now' "$SERVE_LOG"
stop_serving

note "a size that changed: made anew with a clean log, the identity stays"
disk_id() { qemu-io -r -f raw -c "read -v $((2 * 1048576 + 65536 + 24)) 16" "$VHDX" | sed -n 's/^[0-9a-f]*: *//p'; }
serve "$disk" "$export_dir"
before=$(disk_id)
stop_serving
grow() { truncate -s "$2" "$IMAGE_OF"; losetup --set-capacity "$1"; }
IMAGE_OF=$(losetup -nO BACK-FILE "$disk")
grow "$disk" 80M
serve "$disk" "$export_dir"
expect_grep 'warning: .*changed; making the state anew' "$SERVE_LOG"
expect_equal "the identity" "$(disk_id)" "$before"
expect_equal "the size" "$(stat -c %s "$VHDX")" $(((4 + 80) * 1048576))

note "with a log to be replayed: refused, and --reset-state keeps the old one"
qemu-img info -f vhdx "$VHDX" >/dev/null
# A header with a log GUID, its checksum made by vhdxgen's own library in the unit tests: here by Python.
python3 - "$VHDX" <<'P'
import struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
with open(sys.argv[1], "r+b", buffering=0) as f:
    f.seek(65536)
    header = bytearray(f.read(4096))
    header[8:16] = struct.pack("<Q", 1000)
    header[48:64] = b"\x11" * 16
    header[4:8] = bytes(4)
    header[4:8] = struct.pack("<I", crc32c(header))
    f.seek(65536)
    f.write(header)
P
stop_serving
serve "$disk" "$export_dir"
expect_grep 'warning: .*log waits to be replayed' "$SERVE_LOG"
stop_serving
grow "$disk" 96M
expect_fail 2 'size or geometry has changed while the VHDX log' "${vhdxfs[@]}" "$disk" "$export_dir"
serve --reset-state "$disk" "$export_dir"
expect_equal "the identity" "$(disk_id)" "$before"
stop_serving
[[ $(find "$STATE" -name '*.state.*Z.*' | wc -l) == 1 ]] || fail "the old state was not kept"

note "a size that changes while it is served: the next open is refused"
serve "$disk" "$export_dir"
cat "$VHDX" >/dev/null
wait_until 10 device_free "$disk"
grow "$disk" 112M
expect_fail 1 'input/output error' cat "$VHDX"
expect_grep 'open refused: .*changed its size' "$SERVE_LOG"
stop_serving

note "a damaged state is refused"
state=$(echo "$STATE"/"$(blkid -s UUID -o value "$disk")".state)
dd if=/dev/urandom of="$state" bs=4096 count=1 conv=notrunc status=none
expect_fail 2 'damaged.*--reset-state' "${vhdxfs[@]}" "$disk" "$export_dir"
serve --reset-state "$disk" "$export_dir"
qemu-img check -q -f vhdx "$VHDX"
stop_serving

note "a refused start makes no state"
elsewhere=$SCRATCH/elsewhere.d
mkdir -m 700 "$elsewhere"
echo damaged >"$elsewhere/$(blkid -s UUID -o value "$disk").xattrs.d"
expect_fail 2 'extended attributes' "$BUILD/fuse/vhdxfs" -f --pidfile="$SCRATCH/other.pid" -o "state=$elsewhere" "$disk" "$export_dir"
expect_equal "what is there" "$(ls -A "$elsewhere")" "$(blkid -s UUID -o value "$disk").xattrs.d"

note "a lock by somebody who may read the directory"
chmod 755 "$elsewhere"
rm "$elsewhere"/*
flock --no-fork "$elsewhere" sleep 60 &
locker=$!
defer kill_quietly "$locker"
expect_fail 2 'keeps it locked.*go-rx' "$BUILD/fuse/vhdxfs" -f -o "state=$elsewhere" "$disk" "$export_dir"
kill_quietly "$locker"

note "links are not followed"
mv "$state" "$SCRATCH/elsewhere"
ln -s "$SCRATCH/elsewhere" "$state"
expect_fail 4 'links are not followed' "${vhdxfs[@]}" "$disk" "$export_dir"
rm "$state"
ln -s "$STATE" "$SCRATCH/link"
expect_fail 4 'links are not followed' "$BUILD/fuse/vhdxfs" -f -o "state=$SCRATCH/link" "$disk" "$export_dir"
chmod 777 "$STATE"
expect_fail 2 'others can write' "${vhdxfs[@]}" "$disk" "$export_dir"
chmod 700 "$STATE"

note "the daemon keeps two capabilities and a filter"
serve "$disk" "$export_dir"
expect_grep '^CapEff:.*0000000000200002$' "/proc/$SERVE_PID/status"
expect_grep '^CapBnd:.*0000000000200002$' "/proc/$SERVE_PID/status"
expect_grep '^NoNewPrivs:.1$' "/proc/$SERVE_PID/status"
[[ ${SANITIZED-} ]] || expect_grep '^Seccomp:.2$' "/proc/$SERVE_PID/status"
expect_equal "the mode" "$(stat -c %a "$VHDX")" 600
stop_serving
fsck_clean "$disk"
