#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without -f the command returns when the file is served, not before, and the daemon ends by signal or by umount.
# test: timeout=120 tsan=yes
. "$(dirname "$0")/lib.sh"
need qemu-img

new_ext4 64M
disk=$LOOP
new_dir export
at=$DIR
pidfile=$SCRATCH/pid

# start: in the background; the file must be there when the command is back.
start() {
    "$VHDXFS" --pidfile="$pidfile" -o "state=$STATE" "$disk" "$at" >"$SCRATCH/output" 2>&1 </dev/null
    [[ -s $at/ext4.vhdx ]] || fail "vhdxfs returned, and nothing is served"
    pid=$(cat "$pidfile")
    alive "$pid" || fail "vhdxfs returned, and process $pid of the pidfile does not live"
    defer kill_daemon "$pid"
}

kill_daemon() {
    alive "$1" || return 0
    kill -KILL "$1"
    wait_until "$DEADLINE" dead "$1"
    unmounted "$at" || umount --lazy "$at"
}

ended() {
    wait_until "$DEADLINE" dead "$pid" || fail "the daemon did not end"
    unmounted "$at" || fail "the daemon ended and is still mounted"
    [[ ! -e $pidfile ]] || fail "the daemon ended and left its pidfile"
}

for ((i = 0; i < 20; i++)); do # readiness is a race when it is wrong
    start
    head -c 8 "$at/ext4.vhdx" >"$SCRATCH/head"
    expect_equal "the signature" "$(cat "$SCRATCH/head")" vhdxfile
    umount "$at" || wait_until 10 umount "$at"
    ended
done

note "signals"
for signal in TERM INT HUP; do
    start
    kill -"$signal" "$pid"
    ended
done

note "the daemon holds no terminal, no directory and no inherited descriptor"
start
expect_equal "its directory" "$(readlink "/proc/$pid/cwd")" /
expect_equal "its input" "$(readlink "/proc/$pid/fd/0")" /dev/null
expect_equal "its output" "$(readlink "/proc/$pid/fd/1")" /dev/null
expect_equal "its errors" "$(readlink "/proc/$pid/fd/2")" /dev/null
expect_equal "its session" "$(ps -o sid= -p "$pid" | tr -d ' ')" "$pid"
qemu-img check -q -f vhdx "$at/ext4.vhdx"
umount "$at" || wait_until 10 umount "$at"
ended

note "started without standard descriptors: the partition is none of them"
for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
    eval '"$VHDXFS" --pidfile="$pidfile" -o "claim=mount,state=$STATE" "$disk" "$at"' "$closed"
    pid=$(cat "$pidfile")
    defer kill_daemon "$pid"
    head -c 4096 /dev/urandom >"$SCRATCH/data"
    dd if="$SCRATCH/data" of="$at/ext4.vhdx" bs=4096 seek=$((40 * 256)) conv=notrunc,fsync status=none
    same_bytes "$SCRATCH/data" "$disk" --ignore-initial=0:$((36 * MiB)) --bytes=4096
    ! device_free "$disk" || fail "claim=mount, and the device is free"
    umount "$at" || wait_until 10 umount "$at"
    ended
done

note "stopped while the VHDX is open: what was written is on the partition"
start
exec 7<>"$at/ext4.vhdx"
head -c 4096 /dev/urandom >"$SCRATCH/data"
dd if="$SCRATCH/data" of="$at/ext4.vhdx" bs=4096 seek=$((40 * 256)) conv=notrunc status=none
kill -TERM "$pid"
wait_until "$DEADLINE" dead "$pid" || fail "the daemon does not end while a client has the VHDX open"
exec 7>&-
ended
same_bytes "$SCRATCH/data" "$disk" --ignore-initial=0:$((36 * MiB)) --bytes=4096
fsck_clean "$disk"
