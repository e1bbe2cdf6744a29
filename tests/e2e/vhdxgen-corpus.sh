#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxgen check judges every file of the corpus as it should, and every rule has a file that breaks just it.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
need python3

corpus=("python3" "-B" "$SRC/tests/corpus/corpus.py")
mkdir "$SCRATCH/corpus"
"${corpus[@]}" rules "$VHDXGEN"
"${corpus[@]}" generate "$SCRATCH/corpus"
stamps() { stat -c '%n %y %s' "$SCRATCH"/corpus/*.vhdx; } # some files are too long to read
stamps >"$SCRATCH/before"
"${corpus[@]}" verify "$VHDXGEN" "$SCRATCH/corpus"

note "the manual's table of rules is the program's"
"$VHDXGEN" check --list-rules | awk -F'\t' '{ print ".It " $1 " , " $2 " , " $3
    print toupper(substr($4, 1, 1)) substr($4, 2) "." }' >"$SCRATCH/rules"
sed -n '/^\.Sh RULES/,/^\.Sh EXAMPLES/p' "$SRC/man/vhdxgen.1" | sed -n '/^\.It/,/^\.El/p' | sed '$d' |
    same_bytes "$SCRATCH/rules" -
if command -v mandoc >/dev/null; then
    mandoc -Tlint -Werror "$SRC/man/vhdxgen.1"
fi

note "--strict, --quiet and --limit"
cd "$SCRATCH/corpus"
"$VHDXGEN" check -q hdr-twins.vhdx
expect_fail 3 'VHDX-HDR-004' "$VHDXGEN" check --strict hdr-twins.vhdx
expect_equal "output of --quiet" "$("$VHDXGEN" check -q bat-state-4-fixed.vhdx 2>&1 || echo "code $?")" "code 3"
expect_equal "findings with a limit" \
    "$({ "$VHDXGEN" check --limit=1 hdr-none-checksum.vhdx || true; } | grep -c '^warning VHDX-HDR-003')" 1

note "dump and info take every file there is"
for file in *.vhdx; do
    for command in "info $file" "info --output=json $file" "dump $file all"; do
        rc=0
        # shellcheck disable=SC2086 # words are meant
        "$VHDXGEN" $command >/dev/null 2>&1 || rc=$?
        [[ $rc == 0 || $rc == 3 ]] || fail "$command: exit code $rc"
    done
done

note "nothing wrote to any of them"
stamps | same_bytes "$SCRATCH/before" -

[[ ${QUICK-}${SANITIZED-} ]] && exit 0
note "what other readers make of the same files"
"${corpus[@]}" compare "$VHDXGEN" "$SCRATCH/corpus" >"$SCRATCH/comparison"
tail -n 12 "$SCRATCH/comparison"
expect_grep 'spoiled, [0-9]+ files: vhdxgen accepts 0,' "$SCRATCH/comparison"
expect_grep 'good, [0-9]+ files: vhdxgen .* rejects 0$' "$SCRATCH/comparison"
