#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon is killed with SIGKILL while clients write: nothing that was flushed is lost, metadata pages are whole, and
# QEMU opens the file each time. KILLS=N sets how often, SEED=N repeats a run.
# test: timeout=900
. "$(dirname "$0")/lib.sh"
need qemu-img
STORM=$BUILD/tests/tools/storm
[[ -x $STORM ]] || skip "tests/tools/storm is not built (make check)"

if [[ -z ${KILLS-} ]]; then
    KILLS=500
    [[ ${SANITIZED-} ]] && KILLS=60
    [[ ${QUICK-} ]] && KILLS=20
fi
SEED=${SEED:-$((SRANDOM % 100000))}
note "seed $SEED, $KILLS kills"

# A file system in the first 16 MiB, the load behind it: so e2fsck can tell whether anything strayed.
new_disk 40M
mke2fs -q -F -t ext4 -E nodiscard "$LOOP" 16M
vhdx_geometry $((40 * MiB)) "$MiB"
new_dir export

# A look by QEMU at every life of the daemon, and at every tenth by its checker.
cat >"$SCRATCH/look" <<'END'
#!/bin/bash
set -e
qemu-img info -f vhdx "$1" >/dev/null
if (($2 % 10 == 0)); then qemu-img check -q -f vhdx "$1"; fi
END
chmod +x "$SCRATCH/look"

bury() {
    unmounted "$DIR" || umount --lazy "$DIR"
}
defer bury
"$STORM" kill --seed="$SEED" --count="$KILLS" --span=150 \
    --file="$DIR/ext4.vhdx" --payload="$P" --disk=$((40 * MiB)) --reserved=$((16 * MiB)) \
    --pidfile="$SCRATCH/pid" --mountpoint="$DIR" --command="$SCRATCH/look $DIR/ext4.vhdx" \
    -- "$VHDXFS" -f --pidfile="$SCRATCH/pid" -o "state=$STATE" "$LOOP" "$DIR" 2>"$SCRATCH/serve.storm.log" || {
    tail -n 15 "$SCRATCH/serve.storm.log"
    fail "SEED=$SEED repeats the load"
}
fsck_clean "$LOOP"

# What is exposed now is what is on the device, byte by byte.
serve "$LOOP" "$DIR"
dd if="$VHDX" of="$SCRATCH/payload" bs=1M iflag=skip_bytes skip="$P" status=none
stop_serving
same_bytes "$SCRATCH/payload" "$LOOP"
