#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon is killed with SIGKILL under a mounted ext4, which lies on a loop device over the exposed file, as a guest's
# disk would: the journal replays, and every file that was synced is there. KILLS=N and SEED=N as in kill.sh.
# test: timeout=600
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-25}
[[ ${QUICK-}${SANITIZED-} && -z ${KILLS-} ]] && kills=4
SEED=${SEED:-$((SRANDOM % 100000))}
RANDOM=$SEED
note "seed $SEED, $kills kills"

new_ext4 96M
disk=$LOOP
vhdx_geometry $((96 * MiB)) "$MiB"
new_dir export
export_dir=$DIR
new_dir ext4
ext4=$DIR
acknowledged=$SCRATCH/acknowledged
: >"$acknowledged"

# content NAME: what the file of that name holds; its size is in the name.
content() { yes "$1" | head -c "${1#*.}" || true; }

# Writes, syncs, says so, and sometimes deletes the oldest file, until an error.
writer() {
    local i=0 name old=0
    local -a mine=()
    set +e
    while :; do
        i=$((i + 1))
        name=$1-$i.$((RANDOM * RANDOM % 700000 + 1))
        content "$name" | dd of="$ext4/$name" bs=64K iflag=fullblock conv=fsync status=none || return 0
        echo "+$name" >>"$acknowledged"
        mine+=("$name")
        if ((${#mine[@]} - old > 40)); then
            echo "-${mine[old]}" >>"$acknowledged"
            rm "$ext4/${mine[old]}" || return 0
            old=$((old + 1))
        fi
    done
}

# Files that were synced and not deleted since.
expected() { sed -n 's/^+//p' "$acknowledged" | grep -vxFf <(sed -n 's/^-//p' "$acknowledged") || true; }

# Every file expected is there with its content; the files are then deleted for the next round.
judge() {
    local name count=0
    mount "$disk" "$ext4"
    while read -r name; do
        cmp <(content "$name") "$ext4/$name" || fail "$name was synced, and is not what it was"
        count=$((count + 1))
    done < <(expected)
    rm -f "$ext4"/[0-9]*
    umount "$ext4"
    : >"$acknowledged"
    verified=$((verified + count))
}

drop() {
    unmounted "$ext4" || umount --lazy "$ext4"
}

verified=0 replayed=0 direct=(off on)
for ((round = 0; round < kills; round++)); do
    serve "$disk" "$export_dir"
    new_loop "$VHDX" --offset "$P" --sizelimit $((96 * MiB)) --direct-io="${direct[round % 2]}"
    inner=$LOOP
    mount -t ext4 -o discard,errors=remount-ro,data=ordered "$inner" "$ext4"
    defer drop
    writer "$round" 2>/dev/null &
    writer_pid=$!
    sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
    kill -KILL "$SERVE_PID"
    wait "$SERVE_PID" 2>/dev/null || true
    wait "$writer_pid" || true
    umount "$ext4"
    free_loop "$inner"
    umount --lazy "$export_dir"
    # What the daemon's io_uring had under way, the kernel ends after the process is gone.
    wait_until "$DEADLINE" device_free "$disk" || fail "round $round: the daemon is dead, and $disk still held"

    rc=0
    out=$(e2fsck -p "$disk" 2>&1) || rc=$?
    ((rc <= 1)) || fail "round $round: e2fsck -p after the kill: exit code $rc: $out"
    [[ $out == *"recovering journal"* ]] && replayed=$((replayed + 1))
    fsck_clean "$disk"
    judge
done
fsck_clean "$disk"
((verified > 0 && replayed > 0)) || fail "nothing was tested: $verified files, $replayed journals"
note "$kills kills: $replayed journals replayed, $verified synced files as they were"
