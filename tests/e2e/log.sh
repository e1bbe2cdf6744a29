#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nobody waits for whoever reads the log: with a full pipe as standard error, clients are served and the daemon ends; and
# when somebody reads again, nothing is missing that is not counted.
# test: timeout=120 tsan=yes
. "$(dirname "$0")/lib.sh"
need python3

TRIES=300

# The next daemon's standard error is a full pipe, open as descriptor 8.
fill_next_log() {
    local fifo=$SCRATCH/serve.$((serve_count + 1)).log
    mkfifo "$fifo"
    exec 8<>"$fifo"
}
fill_pipe() { ! dd if=/dev/zero bs=4096 of=/dev/fd/8 oflag=nonblock status=none 2>/dev/null || fail "the pipe took all"; }

try_to_delete() {
    timeout "$DEADLINE" python3 - "$VHDX" "$TRIES" <<'END' || fail "a refused deletion waited for the log"
import os, sys
for _ in range(int(sys.argv[2])):
    try:
        os.unlink(sys.argv[1])
    except PermissionError:
        continue
    sys.exit("it was deleted")
END
}

write_and_flush() {
    timeout "$DEADLINE" dd if="$SCRATCH/data" of="$VHDX" bs=1M seek="$((P / MiB + 8))" conv=notrunc,fsync status=none ||
        fail "a write waited for the log"
}

new_ext4 64M
disk=$LOOP
new_dir export
at=$DIR
vhdx_geometry $((64 * MiB)) $MiB
head -c 1M /dev/urandom >"$SCRATCH/data"

note "nobody reads, and it is told to end"
fill_next_log
serve "$disk" "$at"
exec 7<"$VHDX"
fill_pipe
try_to_delete
write_and_flush
exec 7<&-
stop_serving
exec 8<&-
same_bytes "$SCRATCH/data" "$disk" -n $MiB -i 0:$((8 * MiB))
fsck_clean "$disk"

note "somebody reads again"
fill_next_log
serve "$disk" "$at"
fill_pipe
try_to_delete
cat <&8 >"$SCRATCH/read" &
reader=$!
defer kill "$reader"
told() { [[ $(grep -ac 'refused to delete' "$SCRATCH/read") -gt 1 ]] && grep -aq 'more like this' "$SCRATCH/read"; }
wait_until "$DEADLINE" told || fail "not told of what was left out"
lines=$(tr -d '\0' <"$SCRATCH/read" | grep 'refused to delete' | grep -vc 'more like this')
left_out=$(tr -d '\0' <"$SCRATCH/read" | sed -n 's/^vhdxfs: warning: \([0-9]*\) more like this .*refused to delete.*/\1/p')
expect_equal "lines written and left out" $((lines + left_out)) $TRIES
stop_serving
fsck_clean "$disk"
