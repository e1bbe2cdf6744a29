#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Files made by Windows and by QEMU are found to be good; Windows' dirty log is replayed from its Tail.
# test: timeout=120
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io jq

cd "$SCRATCH"
errors() { "$VHDXGEN" check --output=json "$1" | jq .errors; }

note "QEMU's own files"
qemu-img create -q -f vhdx -o subformat=dynamic dynamic.vhdx 1G
qemu-img create -q -f vhdx -o subformat=fixed,block_size=2M fixed.vhdx 20M
qemu-img create -q -f vhdx -o subformat=dynamic,block_size=1M,log_size=2M log.vhdx 100G
qemu-io -f vhdx -c 'write -P 7 3M 5M' -c 'write -P 9 700M 64k' dynamic.vhdx >/dev/null
for file in dynamic fixed log; do
    expect_equal "errors in QEMU's $file" "$(errors $file.vhdx)" 0
done

[[ -n ${VHDX_SPECIMENS-} ]] || skip "VHDX_SPECIMENS is not set"
bzcat "$VHDX_SPECIMENS/iotest-dynamic-1G.vhdx.bz2" >iotest.vhdx
zcat "$VHDX_SPECIMENS/swap.vhdx.gz" >swap.vhdx
zcat "$VHDX_SPECIMENS/vhdx-log-replay.vhdx.gz" >replay.vhdx

note "Windows' files have no errors, and the clean ones nothing at all to be said of"
for file in iotest swap; do
    "$VHDXGEN" check --strict "$file.vhdx"
    "$VHDXGEN" check --output=json "$file.vhdx" | jq -e '.verdict == "clean" and .notes == 0' >/dev/null
done
expect_equal "errors before replay" "$(errors replay.vhdx)" 0

note "the dirty log: exactly its last two entries"
"$VHDXGEN" info --output=json replay.vhdx >info
jq -e '.log.state == "dirty" and .log.active.entries == 2 and .log.active.tail == 20480
       and .log.active.head == 28672' info >/dev/null || fail "the active sequence: $(jq -c .log info)"
cp replay.vhdx before.vhdx
"$VHDXGEN" replay --dry-run replay.vhdx >dry
expect_equal "writes of a dry run" "$(grep -c 'bytes of data' dry)" 2
same_bytes replay.vhdx before.vhdx
"$VHDXGEN" replay replay.vhdx
"$VHDXGEN" check --strict replay.vhdx
# Besides the two headers only the page of the BAT that the log holds may have changed.
{ cmp -l replay.vhdx before.vhdx || true; } | awk '{ o = $1 - 1
    if (!(o >= 65536 && o < 69632) && !(o >= 131072 && o < 135168) && !(o >= 3145728 && o < 3149824)) bad++ }
    END { exit bad > 0 }' || fail "replay wrote elsewhere"
"$VHDXGEN" replay replay.vhdx | grep -q 'nothing to replay' || fail "a second replay had something to do"

note "QEMU and libvhdi read the result alike"
qemu-img check -q -f vhdx replay.vhdx
qemu-img convert -f vhdx -O raw replay.vhdx qemu.raw
# What QEMU makes of the original, with its own replay, is the same here: the earlier entries wrote the same page.
qemu-img check -q -r all -f vhdx before.vhdx >/dev/null 2>&1 || fail "QEMU does not replay the original"
qemu-img compare -q -f vhdx -F vhdx replay.vhdx before.vhdx || fail "QEMU's replay gives another disk"
if command -v vhdiinfo >/dev/null; then
    vhdiinfo replay.vhdx >vhdiinfo.out || fail "vhdiinfo: $(cat vhdiinfo.out)"
    expect_grep 'media size.*1073741824 bytes' vhdiinfo.out
fi
if command -v vhdimount >/dev/null && [[ -e /dev/fuse ]]; then
    mkdir libvhdi
    if vhdimount replay.vhdx libvhdi >/dev/null 2>&1; then
        defer umount libvhdi
        same_bytes qemu.raw libvhdi/vhdi1
    fi
fi
