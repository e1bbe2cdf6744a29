#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same service in its other ways: -s, one request after the other in one thread, and -d, which logs each. Clients that
# come at once find their bytes in their places, files beside too; an umount and SIGTERM end it.
# test: timeout=180 tsan=yes
. "$(dirname "$0")/lib.sh"

clients=4 share=$MiB reserved=$((16 * MiB))
new_disk 64M
device=$LOOP
mke2fs -q -F -t ext4 -E nodiscard "$device" 16M
vhdx_geometry $((64 * MiB)) "$MiB"
new_dir export
export=$DIR

# client I: its part of the data in pieces of a size of its own, the even ones past the page cache; then back.
client() {
    local sizes=(4096 512 262144 3584) direct=() at=$((P + reserved + $1 * share))
    (($1 % 2)) || direct=(direct)
    dd if="$SCRATCH/data" of="$VHDX" bs="${sizes[$1]}" iflag=skip_bytes,count_bytes oflag="seek_bytes${direct:+,direct}" \
        conv=notrunc,fsync skip=$(($1 * share)) seek=$at count="$share" status=none
    same_bytes "$VHDX" "$SCRATCH/data" --ignore-initial=$at:$(($1 * share)) --bytes="$share"
}

# beside: small files, and their errors.
beside() {
    head -c 300000 "$SCRATCH/data" >"$export/small"
    same_bytes "$export/small" "$SCRATCH/data" --bytes=300000
    expect_equal "the end of a small file" "$(tail -c +300001 "$export/small" | wc -c)" 0
    rm "$export/small"
    expect_fail any 'directory' dd if="$export" of=/dev/null
}

# exercise HOW...: served with these options, data and metadata are where they belong.
exercise() {
    local pids=() pid i
    head -c $((clients * share)) /dev/urandom >"$SCRATCH/data"
    serve "$@" "$device" "$export"
    for ((i = 0; i < clients; i++)); do
        client "$i" &
        pids+=($!)
    done
    beside &
    pids+=($!)
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a client failed with $*"
    done
    printf '%4096s' "$*" | dd of="$VHDX" bs=4096 oflag=seek_bytes seek="$MiB" iflag=fullblock conv=notrunc status=none
    same_bytes "$VHDX" <(printf '%4096s' "$*") --ignore-initial="$MiB:0" --bytes=4096
    fallocate --zero-range --offset $((P + reserved)) --length 8192 "$VHDX"
    head -c 8192 /dev/zero | dd of="$SCRATCH/data" bs=8192 conv=notrunc status=none
    expect_fail 1 'not permitted' rm -f "$VHDX"
    cp --sparse=always "$VHDX" "$SCRATCH/through"
    same_bytes "$SCRATCH/through" "$SCRATCH/data" --ignore-initial=$((P + reserved)):0 --bytes=$((clients * share))
}

# verify: after the end.
verify() {
    same_bytes "$SCRATCH/through" "$device" --ignore-initial="$P:0"
    same_bytes "$device" "$SCRATCH/data" --ignore-initial="$reserved:0" --bytes=$((clients * share))
    fsck_clean "$device"
}

for how in -s -d "-s -d"; do
    note "$how, ended by SIGTERM"
    # shellcheck disable=SC2086 # options
    exercise $how
    if [[ $how == *-s* && ! ${SANITIZED-} ]]; then
        expect_equal "threads that serve" "$(serving_threads)" 1
    fi
    stop_serving
    verify

    note "$how, ended by an umount"
    # shellcheck disable=SC2086 # options
    exercise $how
    umount "$export"
    ended_well
    verify
done

note "-d: a line for each request, and one for what came of it"
serve -d "$device" "$export"
dd if="$VHDX" of=/dev/null bs=8192 count=1 iflag=skip_bytes,direct skip=$((P + reserved)) status=none
dd if=/dev/zero of="$VHDX" bs=4096 count=1 oflag=seek_bytes,direct seek=$((P + reserved)) conv=notrunc,fsync status=none
expect_fail 1 'not permitted' mkdir "$export/folder"
stop_serving
for line in 'OPEN, inode 2' "READ, inode 2, 8192 bytes at $((P + reserved))" "WRITE, inode 2, 4096 bytes at $((P + reserved))" \
    'FSYNC, inode 2' 'MKDIR, inode 1' 'RELEASE, inode 2'; do
    expect_grep "^vhdxfs: request [0-9]+: $line$" "$SERVE_LOG"
done
unique=$(sed -n 's/^vhdxfs: request \([0-9]*\): READ, inode 2, 8192 .*/\1/p' "$SERVE_LOG")
expect_grep "^vhdxfs: reply $unique: done, 8192 bytes$" "$SERVE_LOG"

note "without -d there is none"
serve "$device" "$export"
head -c 4096 "$VHDX" >/dev/null
stop_serving
! grep -E '(request|reply) [0-9]' "$SERVE_LOG" || fail "requests are logged"
fsck_clean "$device"

note "started with nohup, it stays when the terminal goes"
trap '' HUP
serve "$device" "$export"
trap 'exit 143' HUP
kill -HUP "$SERVE_PID"
for _ in {1..50}; do # it has seen that by then
    head -c 4096 "$VHDX" >/dev/null || fail "a hangup ended it"
done
stop_serving
fsck_clean "$device"
