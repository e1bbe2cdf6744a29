#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bench/run: its arithmetic; a tiny run and what it writes; comparing; what it refuses to overwrite; that an interrupted
# run leaves nothing behind.
# test: timeout=120 asan=no
. "$(dirname "$0")/lib.sh"
need fio jq python3 mkntfs

BENCH=$SRC/bench/run

# --- the arithmetic

(cd "$SRC/bench" && python3 -B -m unittest discover -q tests) || fail "the unit tests of bench/run"

# --- a tiny run

TMPDIR=$SCRATCH "$BENCH" --no-build --quick --arms raw,vhdxfs --workloads seqread-1m-qd8,randwrite-4k-qd1 \
    --runtime 0.2 --repeats 2 --size 16 --output "$SCRATCH/first" --json "$SCRATCH/first.json"
jq -e '
    (.results | map(.arm + " " + .workload) | sort) ==
        ["raw randwrite-4k-qd1", "raw seqread-1m-qd8", "vhdxfs randwrite-4k-qd1", "vhdxfs seqread-1m-qd8"]
    and (.results | all(.ratio_min <= .ratio_max and .ratio > 0 and .mbps > 0 and .iops > 0 and .lat_us > 0 and .p99_us > 0
        and .cpu_us_per_io >= 0))
    and (.results | map(select(.arm == "raw") | .ratio) | all(. == 1))
    and (.results | map(select(.arm != "raw")) | all(.ratio >= .ratio_min and .ratio <= .ratio_max))
    and (.runs | length) == 2 * 5 and (.runs | all(.fio.error == 0))
    and (.arms[0] | .status == "measured" and (.mount | startswith("fuse.vhdxfs")) and .peak_memory_mib > 0)
    and .machine.kernel and .versions.vhdxfs and .versions.fio' "$SCRATCH/first.json" >/dev/null ||
    fail "not what results.json must hold: $(jq -c 'del(.runs)' "$SCRATCH/first.json")"
same_bytes "$SCRATCH/first.json" "$SCRATCH/first/results.json"
expect_grep '^\| vhdxfs \| [0-9.]+ ' "$SCRATCH/first/report.md"
expect_grep '</html>' "$SCRATCH/first/report.html"
if command -v gnuplot >/dev/null; then
    expect_grep '<svg.*' "$SCRATCH/first/chart-ram.svg"
    expect_grep '<svg' "$SCRATCH/first/report.html"
fi
[[ ! $(losetup -nO BACK-FILE | grep -F "$SCRATCH/vhdxfs-bench") ]] || fail "a loop device was left behind"
[[ ! $(find "$SCRATCH" -maxdepth 1 -name 'vhdxfs-bench.*') ]] || fail "a file was left behind"

expect_grep '^\| randwrite-4k-qd1 +\| - +\| [0-9.]+ ' "$SCRATCH/first/results.md"

# --- every arm of ours

TMPDIR=$SCRATCH "$BENCH" --no-build --quick --arms 'vhdxfs*' --workloads randwrite-4k-qd1 --runtime 0.1 --repeats 1 --size 16 \
    --output "$SCRATCH/ours" || fail "bench/run --arms 'vhdxfs*' ends with $?"
jq -e '(.arms | map(select(.status == "measured") | .arm) | sort) as $measured
    | $measured == ["vhdxfs", "vhdxfs-cow", "vhdxfs-disk", "vhdxfs-single"]
    and (.arms | all(.status == "measured"))
    and (.results | map(.arm) | sort) == ($measured + ["raw"] | sort)
    and (.arms | map(select(.arm == "vhdxfs-disk").target) == ["disk.img"])' "$SCRATCH/ours/results.json" >/dev/null ||
    fail "not every arm of ours was measured: $(jq -c '.arms' "$SCRATCH/ours/results.json")"

# --- comparing: equal, slower, faster. Spreads are made narrow, so that the noise of this machine decides nothing.

jq '.results |= map(.ratio_min = .ratio * 0.98 | .ratio_max = .ratio * 1.02)' "$SCRATCH/first.json" >"$SCRATCH/old.json"
jq '.results |= map(if .arm == "vhdxfs" and .workload == "randwrite-4k-qd1"
    then .ratio *= 0.8 | .ratio_min *= 0.8 | .ratio_max *= 0.8 else . end)' "$SCRATCH/old.json" >"$SCRATCH/slow.json"
"$BENCH" compare "$SCRATCH/old.json" "$SCRATCH/old.json" >"$SCRATCH/out" || fail "a result differs from itself"
expect_grep '4 compared: 0 slower, 0 faster' "$SCRATCH/out"
expect_fail 5 'slower +ram +vhdxfs +randwrite-4k-qd1' "$BENCH" compare "$SCRATCH/old.json" "$SCRATCH/slow.json"
"$BENCH" compare "$SCRATCH/slow.json" "$SCRATCH/old.json" >"$SCRATCH/out" || fail "faster counts as a regression"
expect_grep '^faster +ram +vhdxfs +randwrite-4k-qd1' "$SCRATCH/out"
jq '.results |= map(select(.arm == "raw")) | .arms[0] += {status: "skipped", reason: "no reason"}' "$SCRATCH/old.json" \
    >"$SCRATCH/gone.json"
expect_fail 5 'skipped +ram +vhdxfs +all of it: no reason' "$BENCH" compare "$SCRATCH/old.json" "$SCRATCH/gone.json"
"$BENCH" compare --allow-missing "$SCRATCH/old.json" "$SCRATCH/gone.json" >"$SCRATCH/out" || fail "--allow-missing does not allow it"
expect_fail 1 'no result of bench/run' "$BENCH" compare "$SCRATCH/old.json" "$SRC/README"

# --- usage

expect_fail 1 'no arm nosuch' "$BENCH" --arms nosuch
expect_fail 1 'no workload' "$BENCH" --workloads nosuch
expect_fail 1 'not a block device' "$BENCH" --no-build "$SCRATCH/first.json"
expect_fail 1 'no such file' "$BENCH" --no-build "$SCRATCH/nothing"

# --- a device is overwritten when that was confirmed, and only then

new_ext4 256M
device=$LOOP
cp "$IMAGE" "$SCRATCH/before"
expect_fail 2 'not confirmed' "$BENCH" --no-build --quick "$device"
new_dir mounted
mount_at "$device" "$DIR" -o ro,noload
expect_fail 2 'in use' "$BENCH" --no-build --quick --yes "$device"
umount "$DIR"
same_bytes "$IMAGE" "$SCRATCH/before"
fsck_clean "$device"
# The arm raw alone needs no file system: it writes to its region, and what is outside of that stays.
"$BENCH" --no-build --quick --yes --arms raw --workloads randwrite-4k-qd1 --runtime 0.2 --repeats 1 --size 16 \
    --output "$SCRATCH/named" "$device"
! cmp -s "$IMAGE" "$SCRATCH/before" || fail "raw wrote nothing"
region=$(((16 + 192) * MiB))
same_bytes "$IMAGE" "$SCRATCH/before" --bytes "$region"
same_bytes "$IMAGE" "$SCRATCH/before" --ignore-initial $((region + 16 * MiB))
expect_equal "the devices measured" "$(jq -r .device.kind "$SCRATCH/named/results.json")" source

# --- an interrupted run

left() { losetup -nO BACK-FILE | grep -F "$SCRATCH/vhdxfs-bench" || find "$SCRATCH" -maxdepth 1 -name 'vhdxfs-bench.*' | grep .; }
nothing_left() { ! left; }
TMPDIR=$SCRATCH "$BENCH" --no-build --quick --arms vhdxfs,ext4 --size 16 --repeats 50 --output "$SCRATCH/third" \
    >"$SCRATCH/out" 2>&1 &
run=$!
wait_until "$DEADLINE" left >/dev/null || fail "it does not begin"
wait_until "$DEADLINE" pgrep -x fio >/dev/null || fail "it measures nothing"
kill -TERM "$run"
rc=0
wait "$run" || rc=$?
cat "$SCRATCH/out"
expect_equal "the exit code of an interrupted run" "$rc" 130
expect_grep 'interrupted; all is undone' "$SCRATCH/out"
wait_until "$DEADLINE" nothing_left || fail "an interrupted run left: $(left)"
