#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Many requests at once: direct writes do not wait for each other; blocks of any size at great depth, checked, with trims,
# flushes and metadata in between; the same through the disk around the file, and without io_uring, which the daemon then
# does without.
# test: timeout=300 tsan=yes
. "$(dirname "$0")/lib.sh"
need fio python3

size=$([[ ${QUICK-}${SANITIZED-} ]] && echo 8 || echo 48) # MiB for each job
jobs=4 reserved=16
disk=$((reserved + jobs * size))
new_disk "${disk}M"
device=$LOOP
mke2fs -q -F -t ext4 -E nodiscard "$device" "${reserved}M"
vhdx_geometry $((disk * MiB)) "$MiB"
new_dir export
export=$DIR

# --- direct writes in parallel ---
# While the daemon is stopped, the kernel counts the requests that wait for it. A writer that waits for another one's end
# has sent none.
cat >"$SCRATCH/writers" <<'END'
import os, signal, sys, threading, time
file, offset, pid, waiting = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
fds = [os.open(file, os.O_RDWR) for i in range(3)]
os.kill(pid, signal.SIGSTOP)
threads = [threading.Thread(target=os.pwrite, args=(fd, b"x" * 4096, offset + fd * 4096)) for fd in fds]
for thread in threads:
    thread.start()
most, end = 0, time.monotonic() + 5
while most < len(fds) and time.monotonic() < end:
    most = max(most, int(open(waiting).read()))
os.kill(pid, signal.SIGCONT)
for thread in threads:
    thread.join()
sys.exit(0 if most == len(fds) else f"at most {most} of {len(fds)} writes at once")
END
mountpoint -q /sys/fs/fuse/connections || mount_at fusectl /sys/fs/fuse/connections -t fusectl
serve -o disk "$device" "$export"
if printf '6.2\n%s\n' "$(uname -r)" | sort --check --version-sort 2>/dev/null; then
    file_at=$(place_on_disk "$export/disk.img" $VHDX_SIZE)
    for view in "$VHDX 0" "$export/disk.img $file_at"; do
        python3 "$SCRATCH/writers" "${view% *}" $((${view#* } + P + reserved * MiB)) "$SERVE_PID" \
            "/sys/fs/fuse/connections/$(stat -c %d "$export")/waiting" || fail "direct writes wait for each other: ${view% *}"
    done
fi
stop_serving

# --- depth ---
# make_jobs FILE OFFSET: OFFSET is that of the VHDX in FILE.
make_jobs() {
    cat <<END
[global]
filename=$1
ioengine=libaio
iodepth=48
direct=1
verify=crc32c
verify_fatal=1
verify_backlog=64
do_verify=1
size=${size}M
loops=2
randseed=$((SRANDOM % 100000))
allow_file_create=0
overwrite=1
thread

[small]
rw=randrw
bs=4k
offset=$(($2 + P + reserved * MiB))

[mixed]
rw=randwrite
bssplit=4k/50:8k/20:64k/10:256k/10:1m/10
offset=$(($2 + P + (reserved + size) * MiB))
fsync=29

[sectors]
rw=randrw
bssplit=512/40:1536/20:4k/20:65024/20
blockalign=512
offset=$(($2 + P + (reserved + 2 * size) * MiB))

[large]
rw=write
bs=1m
iodepth=8
offset=$(($2 + P + (reserved + 3 * size) * MiB))
END
}

# write_log FILE OFFSET: pages of the log and its neighbours, rewritten while the payload is under load.
write_log() {
    local n
    for ((n = 0; n < 60; n++)); do
        printf '%4096s' "$n" | dd of="$1" bs=4096 oflag=seek_bytes seek=$(($2 + MiB + n % 8 * 4096)) iflag=fullblock \
            conv=notrunc status=none
    done
}

# hammer [disk]
hammer() {
    local log_writer file at=0
    serve "${@/#/-o}" "$device" "$export"
    file=$VHDX
    if (($#)); then
        file=$export/disk.img
        at=$(place_on_disk "$file" $VHDX_SIZE)
    fi
    make_jobs "$file" $at >"$SCRATCH/jobs"
    write_log "$file" $at &
    log_writer=$!
    (cd "$SCRATCH" && timeout 200 fio --output="$SCRATCH/out" "$SCRATCH/jobs") || {
        tail -n 30 "$SCRATCH/out"
        fail "fio reports an error"
    }
    wait "$log_writer" || fail "a write to the log failed"
    for ((n = 52; n < 60; n++)); do
        same_bytes "$VHDX" <(printf '%4096s' "$n") --ignore-initial=$((MiB + n % 8 * 4096)):0 --bytes=4096
    done
    cp --sparse=always "$VHDX" "$SCRATCH/through"
    stop_serving
    same_bytes "$SCRATCH/through" "$device" --ignore-initial="$P:0"
    fsck_clean "$device"
}
hammer
hammer disk

# --- memory ---
# What the load took is given back when it is over, though the file is still open. Before, a part of it is pinned.
pinned() { awk '/^VmPin/ { print $2 }' "/proc/$SERVE_PID/status"; }
unpinned() { [[ $(pinned) == 0 ]]; }
serve "$device" "$export"
exec {held}<"$VHDX"
make_jobs "$VHDX" 0 | sed '/verify/d' >"$SCRATCH/jobs"
(cd "$SCRATCH" && timeout 200 fio --output="$SCRATCH/out" "$SCRATCH/jobs") || fail "fio reports an error: $(tail "$SCRATCH/out")"
if ! grep -q "no io_uring" "$SERVE_LOG"; then
    [[ $(pinned) != 0 ]] || fail "no memory is pinned: the load was none"
    wait_until "$DEADLINE" unpinned || fail "$(pinned) KiB are still pinned"
fi
exec {held}<&-
stop_serving
fsck_clean "$device"

# --- without io_uring ---
# As in a container: the system call is refused to what runs here.
cat >"$SCRATCH/refuse" <<'END'
import ctypes, os, struct, sys
IO_URING_SETUP, EPERM = 425, 1
code = struct.pack("HBBI" * 4,
    0x20, 0, 0, 0,                    # load the system call's number
    0x15, 0, 1, IO_URING_SETUP,       # this one?
    0x06, 0, 0, 0x00050000 | EPERM,   # yes: an error
    0x06, 0, 0, 0x7fff0000)           # no: go on
code = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
END
printf '#!/bin/sh\nexec python3 %q %q "$@"\n' "$SCRATCH/refuse" "$VHDXFS" >"$SCRATCH/vhdxfs"
chmod +x "$SCRATCH/vhdxfs"
VHDXFS=$SCRATCH/vhdxfs
hammer
grep -q "no io_uring" "$SERVE_LOG" || fail "io_uring was used, or nothing was said of it"
