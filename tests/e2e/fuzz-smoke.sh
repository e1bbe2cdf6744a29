#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The fuzz targets find nothing: over the committed corpus, and in a full run 15 s of fuzzing each.
# test: timeout=400 asan=no
. "$(dirname "$0")/lib.sh"

rc=0
"$SRC/tests/fuzz/build" "$SCRATCH" 2>"$SCRATCH/build.log" || rc=$?
[[ $rc != 77 ]] || skip "$(sed -n 's/^SKIP: //p' "$SCRATCH/build.log")"
[[ $rc == 0 ]] || fail "the fuzzers do not build: $(cat "$SCRATCH/build.log")"

cd "$SCRATCH"
for target in check replay metadata state; do
    options=(-runs=0)
    [[ ${QUICK-} ]] || options=(-max_total_time=15)
    mkdir "work-$target"
    "./fuzz_$target" "${options[@]}" -print_final_stats=1 -max_len=20000 "work-$target" \
        "$SRC/tests/fuzz/corpus/$target" >"$target.log" 2>&1 || fail "$target: $(tail -n 40 "$target.log")"
    note "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$target.log") executions," \
        "$(grep -oE 'cov: [0-9]+' "$target.log" | tail -n 1)"
done
