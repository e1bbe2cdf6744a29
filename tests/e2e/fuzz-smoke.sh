#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The fuzz targets find nothing: over the committed corpus, and in a full run 30 s of fuzzing each.
# test: timeout=400 asan=no
. "$(dirname "$0")/lib.sh"

rc=0
"$SRC/tests/fuzz/build" "$SCRATCH" 2>"$SCRATCH/build.log" || rc=$?
[[ $rc != 77 ]] || skip "$(sed -n 's/^SKIP: //p' "$SCRATCH/build.log")"
[[ $rc == 0 ]] || fail "the fuzzers do not build: $(cat "$SCRATCH/build.log")"

cd "$SCRATCH"
options=(-runs=0)
[[ ${QUICK-} ]] || options=(-max_total_time=30)
pids=() # target=pid
end_fuzzers() { for pid in "${pids[@]}"; do kill "${pid#*=}" 2>/dev/null || true; done; }
defer end_fuzzers

# fuzz_runs damages a volume, which takes an ntfs-3g to make; the leaks there are libntfs-3g's, on what it refuses to open.
pairs=("check replay" "metadata state" "map watch")
if [[ -x fuzz_runs && -e /dev/fuse ]] && command -v mkntfs ntfs-3g >/dev/null; then
    truncate -s 2M volume
    "$SRC/tests/fuzz/ntfs-image" volume
    pairs+=("runs")
fi
leaks() { if [[ $1 == runs ]]; then echo 0; else echo 1; fi; }

start() {
    mkdir "work-$1"
    NTFS_IMAGE=volume ASAN_OPTIONS=detect_leaks=$(leaks "$1") \
        "./fuzz_$1" "${options[@]}" -print_final_stats=1 -max_len=20000 "work-$1" "$SRC/tests/fuzz/corpus/$1" \
        >"$1.log" 2>&1 &
    pids+=("$1=$!")
}

for pair in "${pairs[@]}"; do
    for target in $pair; do
        start "$target"
    done
    for pid in "${pids[@]}"; do
        target=${pid%=*}
        wait "${pid#*=}" || fail "$target: $(tail -n 40 "$target.log")"
        note "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$target.log") executions," \
            "$(grep -oE 'cov: [0-9]+' "$target.log" | tail -n 1)"
    done
    pids=()
done
