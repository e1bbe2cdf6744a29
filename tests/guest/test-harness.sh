#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest harness itself: a script's output, status, disk and arguments come through; a hang and a crash are told
# from a failure; it ends with the harness. A harness that lost a status would make every guest test pass.
# test: timeout=120 quick=no
set -euo pipefail

SRC=${SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# guest STATUS [options]: boots, keeps the output in $work/out, expects STATUS.
guest() {
    local want=$1 status=0
    shift
    "$SRC/tests/guest/run" "$@" >"$work/out" 2>"$work/err" || status=$?
    if ((status == 77)); then
        cat "$work/err" >&2
        exit 77
    fi
    if ((status != want)); then
        cat "$work/out" "$work/err" >&2
        fail "the harness exited with $status instead of $want"
    fi
}

truncate -s 1M "$work/disk"
cat >"$work/script" <<'END'
#!/bin/bash
echo "$VALUE|$1|$2"
printf 'written in the guest' >/dev/vda
cat /note
dmsetup version | grep -c Driver
exit 42
END
echo "a note" >"$work/note"
guest 42 --env "VALUE=it's a \$value" --module dm-mod --program dmsetup --disk "$work/disk" \
    --file "$work/note" "$work/script" "two words" "*"
[[ $(<"$work/out") == "it's a \$value|two words|*"$'\na note\n1' ]] || fail "output: $(<"$work/out")"
[[ $(head -c 20 "$work/disk") == "written in the guest" ]] || fail "the disk was not written"
grep -q 'exited with 42' "$work/err" || fail "no word about the failure: $(<"$work/err")"

printf '#!/bin/sh\necho c >/proc/sysrq-trigger\n' >"$work/script"
guest 125 "$work/script"
grep -q 'sysrq.*crash' "$work/err" || fail "the kernel's last words are missing: $(<"$work/err")"

printf '#!/bin/sh\nsleep 1000\n' >"$work/script"
guest 124 --timeout 6 "$work/script"

# A harness that is ended, or killed, takes its guest with it.
child() { cut -d ' ' -f 1 "/proc/$1/task/$1/children" 2>/dev/null || true; }
running() { [[ -e /proc/$1 && $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) != Z* ]]; }
for signal in TERM KILL; do
    mkdir "$work/$signal"
    TMPDIR=$work/$signal "$SRC/tests/guest/run" --timeout 60 "$work/script" >/dev/null 2>&1 &
    harness=$!
    # The harness, timeout, QEMU: three processes in a row, the last by its name.
    qemu=
    for ((i = 0; i < 600; i++)); do
        qemu=$(child "$(child "$harness")")
        [[ $qemu && $(cat "/proc/$qemu/comm" 2>/dev/null || true) == qemu-system* ]] && break
        qemu=
        sleep 0.05
    done
    [[ $qemu ]] || fail "no guest to kill"
    kill -s "$signal" "$harness"
    wait "$harness" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do running "$qemu" || break; sleep 0.05; done
    ! running "$qemu" || fail "SIG$signal to the harness, and the guest runs on"
done
[[ ! $(ls "$work/TERM") ]] || fail "left behind: $(ls "$work/TERM")"

guest 1 --module no-such-module "$work/script"
echo "guest harness: 6 boots as expected"
