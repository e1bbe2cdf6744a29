#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What can break without device-mapper: a state directory that is full or read-only, a backing file that becomes shorter
# under a loop device or under the daemon itself. Errors reach the client and the log, and all works when the cause is gone.
# test: timeout=120
. "$(dirname "$0")/lib.sh"

new_dir export
export_dir=$DIR
meta=$((2 * MiB + MiB / 2)) # in the spare room of the metadata region

# put OFFSET TEXT: one page that begins with TEXT, flushed.
put() { printf '%-4096s' "$2" | dd of="$VHDX" bs=4096 seek="$1" oflag=seek_bytes conv=notrunc,fsync iflag=fullblock status=none; }
get() { dd if="$1" bs=4096 skip="$2" count=1 iflag=skip_bytes status=none | tr -d '\0' | sed 's/ *$//'; }

# full_disk TYPE: a small file system in $DIR that is full but for KEEP KiB.
full_disk() {
    local keep=$2
    new_dir small
    case $1 in
    tmpfs) mount -t tmpfs -o size=20M,mode=700 tmpfs "$DIR" ;;
    ext4)
        new_ext4 32M -m 0
        mount "$LOOP" "$DIR"
        ;;
    esac
    defer unmount "$DIR"
    fill "$DIR" "$keep"
}

# fill DIR KEEP: until KEEP KiB are left.
fill() {
    local left
    left=$(df --output=avail -k "$1" | tail -n 1)
    ((left <= $2)) || fallocate -l $(((left - $2) * 1024)) "$1/filler"
    # The last blocks that a rounding left.
    if (($2 == 0)); then dd if=/dev/zero of="$1/rest" bs=4096 status=none 2>"$SCRATCH/dd" || true; fi
}

new_ext4 48M
disk=$LOOP
vhdx_geometry $((48 * MiB)) "$MiB"

for type in tmpfs ext4; do
    note "state on a full $type: no start, nothing left behind, no half state"
    full_disk "$type" 64
    small=$DIR
    expect_fail 4 'No space left' "$VHDXFS" -f -o "state=$small" "$disk" "$export_dir"
    unmounted "$export_dir" || fail "refused, and mounted"
    [[ -z $(find "$small" -name '*.state*' -size +0) ]] || fail "left behind: $(ls -l "$small")"

    note "the same when there is room, and then none again: what was promised is written"
    rm "$small/filler"
    serve -o "state=$small" "$disk" "$export_dir"
    fill "$small" 0
    exec 5<"$VHDX" # one claim throughout
    for ((i = 0; i < 64; i++)); do
        rc=0
        put $((meta + i * 4096)) "page $i" 2>"$SCRATCH/err" || rc=$?
        # Either it is kept, or the client was told.
        if ((rc == 0)); then
            kept=$i
            expect_equal "page $i" "$(get "$VHDX" $((meta + i * 4096)))" "page $i"
        else
            expect_grep 'No space left|Input/output' "$SCRATCH/err"
            expect_grep 'No space left' "$SERVE_LOG"
        fi
    done
    put $((P + 32 * MiB)) "payload" || fail "a full state directory keeps the payload from being written"
    exec 5<&-
    kill -KILL "$SERVE_PID"
    wait "$SERVE_PID" 2>/dev/null || true
    umount --lazy "$export_dir"
    serve -o "state=$small" "$disk" "$export_dir"
    expect_equal "the last page kept" "$(get "$VHDX" $((meta + ${kept:?no page could be written} * 4096)))" "page $kept"
    expect_equal "the payload" "$(get "$VHDX" $((P + 32 * MiB)))" "payload"
    rm -f "$small/filler" "$small/rest"
    put "$meta" "room again"
    stop_serving
    umount "$small"
done
fsck_clean "$disk"

note "state on a read-only file system"
new_dir readonly
mount -t tmpfs -o size=20M,mode=700,ro tmpfs "$DIR"
defer unmount "$DIR"
expect_fail 4 'Read-only file system' "$VHDXFS" -f -o "state=$DIR" "$disk" "$export_dir"
mount -o remount,rw "$DIR"
serve -o "state=$DIR" "$disk" "$export_dir"
mount -o remount,ro "$DIR"
expect_fail 1 'Input/output error' head -c 1 "$VHDX"
expect_grep 'open refused: .*Read-only file system' "$SERVE_LOG"
mount -o remount,rw "$DIR"
put "$meta" "writable again"
stop_serving
mount -o remount,ro "$DIR"
serve -o "ro,state=$DIR" "$disk" "$export_dir"
expect_equal "a state on a read-only file system" "$(get "$VHDX" "$meta")" "writable again"
stop_serving

# shrink FILE: a backing file that loses its second half under SOURCE, and gets it back.
shrink() {
    local file=$1 source=$2 hole
    note "a backing file cut short under $source"
    serve "$source" "$export_dir"
    exec 5<"$VHDX"
    hole=$((P + 40 * MiB))
    put "$hole" "before"
    truncate -s 24M "$file"
    ! dd if="$VHDX" of=/dev/null bs=64K skip="$hole" count=1 iflag=skip_bytes,direct status=none 2>"$SCRATCH/err" ||
        fail "a read behind the end of what is left: no error"
    expect_grep 'Input/output error' "$SCRATCH/err"
    expect_grep 'read of .* failed' "$SERVE_LOG"
    expect_equal "what is in front of the cut" "$(get "$VHDX" "$((P + 1080))" | head -c 2 | od -An -tx1 | tr -d ' ')" 53ef
    truncate -s 48M "$file"
    put "$hole" "after"
    expect_equal "after the repair" "$(get "$VHDX" "$hole")" after
    exec 5<&-
    stop_serving
    expect_equal "on the backing file" "$(get "$file" $((40 * MiB)))" after
}

new_ext4 48M -E nodiscard
file=$IMAGE loop=$LOOP
shrink "$file" "$loop"
fsck_clean "$loop"
free_loop "$loop"
shrink "$file" "$file"
e2fsck -fn "$file" >/dev/null || fail "e2fsck is not content with $file"
