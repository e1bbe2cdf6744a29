# shellcheck shell=bash disable=SC2034 # the variables are for the scripts
# SPDX-License-Identifier: GPL-2.0-or-later
# What the end-to-end scripts share. tests/README describes the conventions; each script starts with
#
#   . "$(dirname "$0")/lib.sh"
#
# and gets: namespaces of its own, SCRATCH (a directory that is removed at exit), a stack of cleanup commands, and the
# functions below. Every wait has a deadline; nothing sleeps for readiness.
set -euo pipefail

: "${SRC:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${BUILD:=$SRC/build}"
export SRC BUILD
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

if [[ -z ${VHDXFS_ISOLATED-} ]]; then
    exec "$SRC/tests/isolate" 900 "$BASH" "$0" "$@"
fi
. "$SRC/tests/loops.sh"

VHDXFS=$BUILD/fuse/vhdxfs
VHDXGEN=$BUILD/vhdxgen/vhdxgen
MiB=$((1 << 20)) GiB=$((1 << 30)) TiB=$((1 << 40))
# A sanitizer, valgrind or a slow machine makes everything slower: deadlines are for hangs, not for speed.
DEADLINE=${DEADLINE:-60}

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/vhdxfs-e2e.XXXXXXXX")
chmod 755 "$SCRATCH" # some tests enter it as another user
STATE=$SCRATCH/state
mkdir "$STATE"

# A daemon in the background has no standard error: the sanitizers write to files, which at_exit looks for.
if [[ ${SANITIZED-} ]]; then
    for name in ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
        export "$name=${!name-}:log_path=$SCRATCH/sanitizer"
    done
fi

# --- messages and the end ---------------------------------------------------

note() { echo "-- $*"; }

fail() {
    echo "FAIL: $* (line ${BASH_LINENO[${#BASH_LINENO[@]} - 2]} of $0)"
    exit 1
}

# Ends the script as skipped. The reason is the last line of the output; tests/expected-skips must know it.
skip() {
    echo "$*"
    exit 77
}

# need PROGRAM...: skips when one is not installed.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

cleanup_stack=()

# defer CMD...: runs it at exit, last registered first. Each must succeed, also when its work is already done.
defer() { cleanup_stack+=("$(printf '%q ' "$@")"); }

at_exit() {
    local rc=$? i log
    trap '' TERM INT HUP
    set +e
    if [[ $rc != 0 && $rc != 77 && ${SERVE_LOG-} && -s $SERVE_LOG ]]; then
        sed "s/^/[vhdxfs] /" "$SERVE_LOG" | tail -n 60
    fi
    for ((i = ${#cleanup_stack[@]} - 1; i >= 0; i--)); do
        eval "${cleanup_stack[i]}" && continue
        echo "cleanup failed: ${cleanup_stack[i]}"
        [[ $rc == 0 || $rc == 77 ]] && rc=1
    done
    for log in "$SCRATCH"/sanitizer.*; do
        # A note of LeakSanitizer's, which is no finding: a process that is killed cannot be looked into.
        [[ -s $log ]] || continue
        grep -qv 'Unable to get registers from thread' "$log" || continue
        cat "$log"
        rc=86
    done
    cd /
    rm -rf --one-file-system "$SCRATCH" || rc=1
    exit "$rc"
}
trap at_exit EXIT
trap 'exit 143' TERM INT HUP
on_error() { # RC PLACE COMMAND
    [[ $1 == 77 ]] || echo "FAIL: line $2: $3: exit code $1" >&2 # 77: a guest that cannot be had, and its reason is said
}
trap 'on_error $? "$LINENO of ${BASH_SOURCE[0]##*/}" "$BASH_COMMAND"' ERR
set -o errtrace

# --- waiting and expecting --------------------------------------------------

# wait_until SECONDS CMD...: polls until CMD succeeds; its result after the last try otherwise.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# expect_fail CODE PATTERN CMD...: CMD must exit with CODE, and its output (both streams) match the extended regular
# expression PATTERN. CODE may be "any" for a foreign program of which only the failure matters.
expect_fail() {
    local want=$1 pattern=$2 out rc=0
    shift 2
    out=$(timeout "$DEADLINE" "$@" 2>&1 </dev/null) || rc=$?
    [[ $rc != 0 ]] || fail "succeeded, and must not: $*: $out"
    [[ $want == any || $rc == "$want" ]] || fail "exit code $rc instead of $want: $*: $out"
    grep -Eqi -- "$pattern" <<<"$out" || fail "no /$pattern/ in the message of: $*: $out"
    note "refused as it should be ($rc): ${out%%$'\n'*}"
}

# expect_equal WHAT GOT WANTED
expect_equal() {
    [[ $2 == "$3" ]] || fail "$1: got '$2', expected '$3'"
}

# expect_grep PATTERN FILE: waits for it, since a thread of the daemon's own writes its log.
expect_grep() {
    wait_until "$DEADLINE" grep -Eqi -- "$1" "$2" || {
        cat "$2"
        fail "no /$1/ in $2"
    }
}

# same_bytes FILE FILE [cmp's options]: a byte comparison.
same_bytes() { cmp "$@" || fail "$1 and $2 differ"; }

# fsck_clean DEVICE: what every data test ends in, beside a byte comparison.
fsck_clean() {
    local out
    out=$(e2fsck -fn "$1" 2>&1) || {
        echo "$out"
        fail "e2fsck -fn $1 is not content"
    }
    ! grep -q 'FIXED\|WARNING' <<<"$out" || fail "e2fsck -fn $1: $out"
}

# --- devices ----------------------------------------------------------------

declare -A loop_ids=()

# free_loop DEVICE [ID]: detaches it when it is still attached as ID says, by default as new_loop did it.
free_loop() {
    local id=${2-${loop_ids[$1]}}
    loop_gone "$1" "$id" && return 0
    losetup --detach "$1" || return
    wait_until "$DEADLINE" loop_gone "$1" "$id"
}

# new_loop FILE [losetup's options]: attaches FILE, sets LOOP to the device, detaches it at exit.
new_loop() {
    local file=$1
    shift
    LOOP=$(losetup --find --show "$@" "$file")
    keep_loop "$@"
}

# new_named_loop FILE: the same, and nobody else is given the device's name while it is detached: its number is far from those
# that "losetup --find" counts up to. At exit the device is removed.
new_named_loop() {
    LOOP=/dev/loop$((LOOP_NAMED + SRANDOM % LOOP_NAMED))
    defer loop_remove "$LOOP"
    losetup "$LOOP" "$1"
    keep_loop
}

# keep_loop [losetup's options]: what there is to be done about LOOP. VHDXFS_LOOPS, when set, is a file in which tests/run
# finds the devices of a script that was killed.
keep_loop() {
    local id
    # A write protection by ioctl and a limit of the requests' size outlive the attachment, so a test that was killed
    # leaves them to the next. 0 is the kernel's own limit, from 6.9 on.
    [[ " $* " == *" --read-only "* ]] || blockdev --setrw "$LOOP"
    { echo 0 >"/sys/block/${LOOP#/dev/}/queue/max_sectors_kb"; } 2>/dev/null || true
    id=$(loop_id "$LOOP")
    [[ $id ]] || fail "$LOOP has no diskseq"
    loop_ids[$LOOP]=$id
    if [[ ${VHDXFS_LOOPS-} ]]; then
        echo "$LOOP $id" >>"$VHDXFS_LOOPS"
    fi
    defer free_loop "$LOOP" "$id"
}

# new_disk SIZE [losetup's options]: a sparse file of SIZE bytes (truncate's suffixes) on a loop device, LOOP; IMAGE is the file.
new_disk() {
    local size=$1
    shift
    IMAGE=$(mktemp "$SCRATCH/disk.XXXXXX")
    truncate -s "$size" "$IMAGE"
    new_loop "$IMAGE" "$@"
}

# new_ext4 SIZE [mke2fs's options]: the same, with an ext4 over the whole device (blocks of 4 KiB, as a big one).
new_ext4() {
    local size=$1
    shift
    new_disk "$size"
    mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=1,nodiscard "$@" "$LOOP"
}

# new_huge SIZE: a sparse file beyond what the file system of SCRATCH may allow (on an xfs in a file), in IMAGE. No loop.
new_huge() {
    need mkfs.xfs
    if [[ ! -d $SCRATCH/huge ]]; then
        mkdir "$SCRATCH/huge"
        truncate -s 2G "$SCRATCH/xfs"
        mkfs.xfs -q "$SCRATCH/xfs"
        new_loop "$SCRATCH/xfs"
        mount_at "$LOOP" "$SCRATCH/huge"
    fi
    IMAGE=$(mktemp "$SCRATCH/huge/disk.XXXXXX")
    truncate -s "$1" "$IMAGE"
}

# huge_ext4 FILE: an ext4 on a huge file, in an instant: with clusters of 64 MiB even 64 TiB need little metadata.
huge_ext4() {
    mke2fs -q -F -t ext4 -m 0 -N 65536 -O ^has_journal,bigalloc,^resize_inode,meta_bg -C 64M \
        -E lazy_itable_init=1,nodiscard "$1"
}

unmounted() { ! mountpoint -q "$1"; }

unmount() {
    unmounted "$1" || umount "$1"
}

# new_dir NAME: an empty directory in SCRATCH, its path in DIR.
new_dir() {
    DIR=$(mktemp -d "$SCRATCH/$1.XXXXXX")
}

# mount_at DEVICE DIR [mount's options]: unmounted at exit.
mount_at() {
    local device=$1 dir=$2
    shift 2
    mount "$@" "$device" "$dir"
    defer unmount "$dir"
}

# --- the daemon ---------------------------------------------------------------

serve_count=0

alive() { kill -0 "$1" 2>/dev/null && [[ $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) != Z* ]]; }
dead() { ! alive "$1"; }

# Serving, or dead: either ends the wait for readiness.
serve_settled() { [[ -s $SERVE_PIDFILE ]] || dead "$SERVE_PID"; }

# serve [vhdxfs's options] SOURCE MOUNTPOINT: starts the daemon in the foreground and returns when it serves.
# Sets SERVE_PID, SERVE_LOG (its log), SERVE_MNT and VHDX (the path of the exposed file, for the default name).
serve() {
    local args=("$@") id
    [[ " $* " == *state=* ]] || args=(-o "state=$STATE" "${args[@]}")
    id=$((++serve_count))
    SERVE_MNT=${*: -1}
    SERVE_LOG=$SCRATCH/serve.$id.log
    SERVE_PIDFILE=$SCRATCH/serve.$id.pid
    VHDX=$SERVE_MNT/ext4.vhdx
    if [[ -f $SERVE_MNT ]]; then
        VHDX=$SERVE_MNT
    fi
    "$VHDXFS" -f --pidfile="$SERVE_PIDFILE" "${args[@]}" >>"$SERVE_LOG" 2>&1 &
    SERVE_PID=$!
    defer kill_serving "$SERVE_PID" "$SERVE_MNT"
    wait_until "$DEADLINE" serve_settled || fail "not serving after $DEADLINE s: vhdxfs ${args[*]}"
    alive "$SERVE_PID" || {
        cat "$SERVE_LOG"
        fail "vhdxfs ended instead of serving: ${args[*]}"
    }
    expect_equal "the pid in the pidfile" "$(cat "$SERVE_PIDFILE")" "$SERVE_PID"
}

# stop_serving [PID [MOUNTPOINT]]: SIGTERM; must end with code 0 and remove its mount and its pidfile.
stop_serving() {
    local pid=${1-$SERVE_PID} mnt=${2-$SERVE_MNT}
    kill -TERM "$pid"
    ended_well "$pid" "$mnt"
}

# ended_well [PID [MOUNTPOINT]]: the same for a daemon that something else tells to stop (umount).
ended_well() {
    local pid=${1-$SERVE_PID} mnt=${2-$SERVE_MNT} rc=0
    wait_until "$DEADLINE" dead "$pid" || fail "vhdxfs ($pid) still runs $DEADLINE s after it was told to stop"
    wait "$pid" || rc=$?
    expect_equal "the exit code of vhdxfs" "$rc" 0
    unmounted "$mnt" || fail "vhdxfs ended and left its mount at $mnt"
    if [[ $pid == "$SERVE_PID" ]]; then
        [[ ! -e $SERVE_PIDFILE ]] || fail "vhdxfs ended and left its pidfile"
    fi
}

# For the cleanup stack: no judgement, only an end.
kill_serving() {
    if alive "$1"; then
        kill -TERM "$1" 2>/dev/null
        wait_until 10 dead "$1" || kill -KILL "$1" 2>/dev/null
    fi
    wait "$1" 2>/dev/null
    unmounted "$2" || umount --lazy "$2"
}

# log_caught_up: returns when all that was logged before is in SERVE_LOG, for who looks for what must not be there.
log_caught_up() {
    local before
    before=$(deletions)
    ! rm -f "$VHDX" 2>/dev/null || fail "$VHDX was deleted"
    wait_until "$DEADLINE" more_than "$before" deletions || fail "a refusal was not logged"
}
deletions() { grep -c 'refused to delete' "$SERVE_LOG" || true; }

# more_than NUMBER COMMAND: COMMAND prints a greater one; for wait_until.
more_than() { (($($2) > $1)); }

# serving_threads: how many threads the daemon has, beside the one that writes the log.
serving_threads() { grep -Lx vhdxfs-log "/proc/$SERVE_PID/task"/*/comm | wc -l; }

# device_free DEVICE: nobody holds it; it could be opened with O_EXCL (as wipefs does, which writes nothing here).
# RELEASE reaches the daemon some time after the client's close(2): use it with wait_until.
device_free() { wipefs --all --no-act "$1" >/dev/null 2>&1; }

# opens FILE: it can be opened for reading; for wait_until.
opens() { : <"$1"; }

# --- volumes of NTFS ----------------------------------------------------------

# mount_ntfs [-o OPTIONS] VOLUME: on mnt in this directory, what ntfs-3g can mount.
mount_ntfs() {
    ntfs-3g "$@" mnt
    defer unmount mnt
}

# craft COMMAND...: changes a volume as Windows or an accident would; ntfs_craft.py tells.
craft() { python3 -B "$SRC/tests/e2e/ntfs_craft.py" "$@"; }

# --- the exposed file ---------------------------------------------------------

# vhdx_geometry DISKSIZE BLOCKSIZE [SECTORSIZE]: sets NB, BAT_SIZE, P (payload offset) and VHDX_SIZE as the layout of a
# fixed file demands: 1 MiB headers, 1 MiB log, 1 MiB metadata, the BAT, the payload.
vhdx_geometry() {
    local disk=$1 bs=$2 sector=${3-512} ratio entries
    NB=$(((disk + bs - 1) / bs))
    ratio=$(((1 << 23) * sector / bs))
    entries=$((NB + (NB - 1) / ratio))
    BAT_SIZE=$(((8 * entries + MiB - 1) / MiB * MiB))
    P=$((3 * MiB + BAT_SIZE))
    VHDX_SIZE=$((P + NB * bs))
}

# place_on_disk DISK VHDX_SIZE: where on disk.img the VHDX begins: before the volume's end and the copy of the GPT.
place_on_disk() { echo $(($(stat -c %s "$1") - 2 * MiB - $2)); }

# block_size FILE: as QEMU reads it.
block_size() { qemu-img info -f vhdx --output=json "$1" | jq '."cluster-size"'; }

# payload_offset FILE: where the partition starts in the file, from what QEMU reads in it.
payload_offset() {
    local disk bs
    read -r disk bs < <(qemu-img info -f vhdx --output=json "$1" | jq -r '"\(."virtual-size") \(."cluster-size")"')
    vhdx_geometry "$disk" "$bs"
    echo "$P"
}
