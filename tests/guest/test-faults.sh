#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Broken disks, in a guest with device-mapper: reads, writes and flushes of the partition and of the state's disk fail.
# The client sees each error, the log tells, nothing is acknowledged that did not happen, and all works again when the disk
# does. And what device-mapper holds is refused, by name.
# test: timeout=120
. "$(dirname "$0")/../e2e/lib.sh"
need dmsetup

disk=$((40 * MiB))
vhdx_geometry "$disk" "$MiB"
truncate -s "$disk" "$SCRATCH/part.img"
mke2fs -q -F -t ext4 -E nodiscard "$SCRATCH/part.img" 8M
# Without a journal, which a failed write would abort for good.
truncate -s 32M "$SCRATCH/state.img"
mke2fs -q -F -t ext4 -O ^has_journal -E nodiscard "$SCRATCH/state.img"

cat >"$SCRATCH/guest" <<'END'
#!/bin/bash
set -euo pipefail
log=/tmp/log vhdx=/export/ext4.vhdx
trap 'echo "line $LINENO: $BASH_COMMAND"; [[ -e $log ]] && sed "s/^/[vhdxfs] /" $log | tail -n 40' ERR
set -o errtrace
fail() { echo "FAIL: $*"; false; }

part=$(blockdev --getsz /dev/vda) state=$(blockdev --getsz /dev/vdb)
# table NAME TABLE: what NAME does from now on. Nothing is flushed by the change.
table() {
    dmsetup suspend --noflush --nolockfs "$1"
    dmsetup reload "$1" --table "$2"
    dmsetup resume "$1"
}
good_part="0 $part linear /dev/vda 0" good_state="0 $state linear /dev/vdb 0"
# A hole of 128 sectors that answers with errors, at 20 MiB of the disk.
bad=40960
hole="0 $bad linear /dev/vda 0
$bad 128 error
$((bad + 128)) $((part - bad - 128)) linear /dev/vda $((bad + 128))"
# Every write and flush fails, reads do not.
no_writes() { echo "0 $1 flakey $2 0 0 1000 1 error_writes"; }

start() {
    : >"$log"
    rm -f /run/pid # of one that was killed
    vhdxfs -f --pidfile=/run/pid -o state=/state "$@" /dev/mapper/part /export >>"$log" 2>&1 &
    pid=$!
    for ((i = 0; i < 200; i++)); do
        [[ -s /run/pid ]] && return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    fail "vhdxfs does not serve"
}
stop() {
    kill "$pid"
    wait "$pid" || fail "exit code $? of vhdxfs"
}

# put OFFSET TEXT [dd's arguments]: 4 KiB that begin with TEXT, at OFFSET of the file.
page() { printf '%-4096s' "$1"; }
put() {
    local at=$1 text=$2
    shift 2
    page "$text" | dd of="$vhdx" bs=4096 seek="$at" oflag=seek_bytes conv=notrunc,fsync iflag=fullblock "$@" 2>/tmp/dd
}
get() { dd if="$1" bs=4096 skip="$2" count=1 iflag=skip_bytes,direct 2>/tmp/dd.get | tr -d '\0' | tr -s ' ' | sed 's/ $//'; }
logged() { # PATTERN: waits for it, since a thread of its own writes the log
    local i
    for ((i = 0; i < 200; i++)); do
        grep -qEi "$1" "$log" && return 0
        sleep 0.05
    done
    fail "no /$1/ in the log"
}
refused() { # WHAT COMMAND...: must fail with EIO
    local what=$1
    shift
    ! "$@" || fail "$what: no error"
    grep -q 'Input/output error' /tmp/dd || fail "$what: another error: $(cat /tmp/dd)"
}

dmsetup create part --table "$good_part"
dmsetup create state --table "$good_state"
mkdir /state /export
mount -t ext4 /dev/mapper/state /state

# Holds the claim. Not a descriptor of this shell: each command would inherit it, flush at its end, and dmsetup never end.
hold() {
    sleep 1000 <"$vhdx" &
    holder=$!
}
let_go() {
    kill "$holder"
    wait "$holder" || true
}

# --- reads and writes of the partition
start
hold
at=$((P + bad * 512))
put "$at" before
table part "$hole"
refused "a read of a bad range" dd if="$vhdx" of=/dev/null bs=4096 skip="$at" count=1 iflag=skip_bytes,direct 2>/tmp/dd
logged 'read of .* failed: Input/output error'
dd if="$vhdx" of=/dev/null bs=4096 skip=$((at - 4096)) count=1 iflag=skip_bytes,direct 2>/tmp/dd
refused "a write to a bad range" put "$at" lost
logged 'write of .* failed: Input/output error'
refused "a buffered read of it" dd if="$vhdx" of=/dev/null bs=64K skip="$at" count=1 iflag=skip_bytes 2>/tmp/dd
dd if=/dev/zero of="$vhdx" bs=1M seek=$((at - 512 * 1024)) count=1 oflag=seek_bytes conv=notrunc 2>/tmp/dd &&
    fail "a write across a bad range: no error"
fallocate -z -n -o "$at" -l 4096 "$vhdx" 2>/tmp/dd && fail "zeroing of a bad range: no error"
fallocate -p -o "$at" -l 4096 "$vhdx" 2>/tmp/dd && fail "punching of a bad range: no error"
put $((at + 1048576)) "beside it"
table part "$good_part"
[[ $(get "$vhdx" "$at") == before ]] || fail "an error changed the data: $(get "$vhdx" "$at")"
put "$at" after
[[ $(get "$vhdx" "$at") == after && $(get /dev/vda $((at - P))) == after ]]
[[ $(get /dev/vda $((at - P + 1048576))) == "beside it" ]]
echo "reads and writes: ok"

# --- flushes of the partition
# A client that has written and has not flushed yet. Any close of the file flushes, so it keeps it open and waits for more
# to write, and we look at the device.
mkfifo /tmp/more
dd if=/tmp/more of="$vhdx" bs=4096 seek="$at" oflag=seek_bytes conv=notrunc,fsync 2>/tmp/dd &
client=$!
exec 7>/tmp/more
page unflushed >&7
for ((i = 0; i < 100; i++)); do
    [[ $(get /dev/vda $((at - P))) == unflushed ]] && break
    sleep 0.05
done
table part "$(no_writes "$part" /dev/vda)"
exec 7>&-
refused "a flush that fails" wait "$client"
logged 'flush of the device failed'
table part "$good_part"
# What the failed flush has dropped is not known: none succeeds until the partition is claimed anew.
! sync -d "$vhdx" 2>/tmp/dd || fail "a flush after one that failed: no error"
let_go
for ((i = 0; i < 100; i++)); do
    sync -d "$vhdx" 2>/tmp/dd && break
    sleep 0.05
done
hold
put "$at" unflushed
[[ $(get "$vhdx" "$at") == unflushed && $(get /dev/vda $((at - P))) == unflushed ]]
echo "flushes: ok"

# --- a disk that comes and goes: what was acknowledged is there
acknowledged=()
let_go # each round claims it anew: a flush that failed spoils the rest of a claim
claim_ended() {
    for ((n = 0; n < 200; n++)); do
        [[ $(dmsetup info -c --noheadings -o open part) == 0 ]] && return
        sleep 0.02
    done
}
for ((i = 0; i < 24; i++)); do
    claim_ended
    case $((RANDOM % 3)) in
    0) table part "$(no_writes "$part" /dev/vda)" ;;
    1) table part "$hole" ;;
    2) table part "$good_part" ;;
    esac
    where=$((at - 131072 + i * 4096))
    if put "$where" "round $i"; then acknowledged+=("$i"); fi
done
table part "$good_part"
claim_ended
hold
for i in "${acknowledged[@]}"; do
    where=$((at - P - 131072 + i * 4096))
    [[ $(get /dev/vda "$where") == "round $i" ]] || fail "round $i was acknowledged and did not happen"
done
((${#acknowledged[@]} > 1 && ${#acknowledged[@]} < 24)) || fail "${#acknowledged[@]} of 24 acknowledged tests nothing"
echo "a disk that comes and goes: ${#acknowledged[@]} of 24 acknowledged, all there"

# --- the state's disk
meta=$((2621440))                   # in the spare room of the metadata region
put "$meta" first
table state "$(no_writes "$state" /dev/vdb)"
refused "a flush of the state that fails" put "$meta" second
logged 'cannot flush the state'
refused "and again" sync -d "$vhdx" 2>/tmp/dd
table state "$good_state"
sync -d "$vhdx"                     # nothing new was written: the daemon must write the page again
kill -KILL "$pid"
wait "$pid" || true
let_go
umount -l /export
umount /state
mount -t ext4 /dev/mapper/state /state
start
[[ $(get "$vhdx" "$meta") == second ]] || fail "flushed after an error, and lost: $(get "$vhdx" "$meta")"
table state "$(no_writes "$state" /dev/vdb)"
refused "a flush of the state that fails" put "$meta" third
kill -KILL "$pid"                   # the page is lost, the one before must be whole
wait "$pid" || true
umount -l /export
table state "$good_state"
umount /state
mount -t ext4 /dev/mapper/state /state
start
[[ $(get "$vhdx" "$meta") == second ]] || fail "the flushed page is gone: $(get "$vhdx" "$meta")"
stop
echo "the state's disk: ok"

# --- a partition that can't be read at all
table part "0 $part error"
rc=0
timeout 20 vhdxfs -f -o state=/state /dev/mapper/part /export >/tmp/out 2>&1 || rc=$?
[[ $rc == 4 ]] || fail "an unreadable partition: exit code $rc: $(cat /tmp/out)"
table part "$good_part"
echo "an unreadable partition: $(cat /tmp/out)"

# --- held by device-mapper
rc=0
timeout 20 vhdxfs -f -o state=/state,claim=mount /dev/vda /export >/tmp/out 2>&1 || rc=$?
[[ $rc == 2 ]] && grep -Eq '\bpart\b|dm-[0-9]' /tmp/out || fail "held by device-mapper: exit code $rc: $(cat /tmp/out)"
echo "held: $(cat /tmp/out)"
dmsetup remove part
rm -f /run/pid
: >"$log"
vhdxfs -f --pidfile=/run/pid -o state=/state /dev/vda /export >>"$log" 2>&1 &
pid=$!
until [[ -s /run/pid ]]; do kill -0 "$pid"; sleep 0.05; done
hold
! dmsetup create part --table "$good_part" 2>/tmp/dd || fail "device-mapper took a claimed partition"
let_go
for ((i = 0; i < 100; i++)); do
    dmsetup create part --table "$good_part" 2>/tmp/dd && break
    dmsetup remove part 2>/dev/null || true
    sleep 0.05
done
[[ -e /dev/mapper/part ]] || fail "the partition was not given back"
! cat "$vhdx" 2>/tmp/dd >/dev/null || fail "opened what device-mapper holds"
grep -q 'busy' /tmp/dd || fail "another error than EBUSY: $(cat /tmp/dd)"
logged '\bpart\b|dm-[0-9]' # the holder
dmsetup remove part
head -c 8 "$vhdx" | grep -q vhdxfile
stop
umount /state
END

rc=0
"$SRC/tests/guest/run" --timeout 100 --module dm-flakey --module ext4 --program dmsetup --program "$VHDXFS" \
    --program dd --program fallocate --program sync --env "P=$P" --disk "$SCRATCH/part.img" \
    --disk "$SCRATCH/state.img" "$SCRATCH/guest" || rc=$?
((rc != 77)) || exit 77
((rc == 0)) || fail "the run in the guest failed"
new_loop "$SCRATCH/part.img"
fsck_clean "$LOOP"
