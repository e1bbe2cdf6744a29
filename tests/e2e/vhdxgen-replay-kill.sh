#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vhdxgen replay can be killed at any moment: the next one finishes the work, and the result is the same.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
need python3 jq

cd "$SCRATCH"
python3 -B "$SRC/tests/corpus/corpus.py" dirty dirty.vhdx
headers=$((192 * 1024)) # they differ: each replay makes a new FileWriteGuid

cp --sparse=always dirty.vhdx reference.vhdx
begin=$EPOCHREALTIME
"$VHDXGEN" replay reference.vhdx
end=$EPOCHREALTIME
"$VHDXGEN" check --strict reference.vhdx
! cmp -s --ignore-initial="$headers" reference.vhdx dirty.vhdx || fail "replay changed nothing"
took=$((${end/./} - ${begin/./})) # microseconds
note "a whole replay takes $took us"

killed=0 rounds=60
[[ ${QUICK-}${SANITIZED-} ]] && rounds=10
for ((i = 0; i < rounds; i++)); do
    cp --sparse=always dirty.vhdx victim.vhdx
    "$VHDXGEN" replay -q victim.vhdx &
    pid=$!
    # Moments all over the run, beginning before its start. This is no wait for readiness.
    read -rt "$(printf '%d.%06d' $((took * i / rounds / 1000000)) $((took * i / rounds % 1000000)))" <> <(:) || true
    kill -KILL $pid 2>/dev/null || true
    rc=0
    wait $pid 2>/dev/null || rc=$?
    ((rc == 0)) || killed=$((killed + 1))
    "$VHDXGEN" check -q victim.vhdx || fail "killed at moment $i it left errors"
    "$VHDXGEN" replay -q victim.vhdx
    "$VHDXGEN" check -q --strict victim.vhdx || fail "after moment $i it cannot be mended"
    same_bytes victim.vhdx reference.vhdx --ignore-initial="$headers"
done
note "$killed of $rounds were killed before they were done"
((killed > 0)) || fail "no replay was killed in time"

note "a file in use, and one that needs no replay"
exec 4<victim.vhdx
flock 4
expect_fail 2 "in use" "$VHDXGEN" replay victim.vhdx
exec 4<&-
"$VHDXGEN" replay victim.vhdx | grep -q 'nothing to replay' || fail "it replayed a clean log"
