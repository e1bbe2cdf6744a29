#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# quickstart starts, shows, can be said twice, and stops exactly what it started; a device it is given is not changed.
# test: timeout=180 asan=no
. "$(dirname "$0")/lib.sh"
need qemu-img vhdiinfo

export VHDXFS_QUICKSTART_DIR=$SCRATCH/quickstart
quickstart() { timeout 120 "$SRC/quickstart" "$@" >"$SCRATCH/output" 2>&1 || { cat "$SCRATCH/output" && return 1; }; }
defer quickstart --stop

quickstart
expect_grep 'Disk type.*: Fixed' "$SCRATCH/output"
expect_grep 'file format: vhdx' "$SCRATCH/output"
pid=$(cat "$VHDXFS_QUICKSTART_DIR/pid")
quickstart
own=$(cat "$VHDXFS_QUICKSTART_DIR/device")
own_id=$(loop_id "$own")
[[ $own_id ]] || fail "no loop device is behind the demonstration"
expect_equal "the daemon after a second start" "$(cat "$VHDXFS_QUICKSTART_DIR/pid")" "$pid"

new_ext4 64M
fresh=$LOOP
expect_fail 2 'already' "$SRC/quickstart" "$fresh"

exec 7<"$VHDXFS_QUICKSTART_DIR/export/ext4.vhdx"
expect_fail 2 'in use' "$SRC/quickstart" --stop
exec 7<&-
alive "$pid" || fail "a refused stop ended the daemon"
stops() { "$SRC/quickstart" --stop >/dev/null 2>&1; }
wait_until 10 stops || fail "quickstart --stop"
dead "$pid" || fail "the daemon lives on"
[[ ! -e $VHDXFS_QUICKSTART_DIR ]] || fail "its directory is left"
loop_gone "$own" "$own_id" || fail "its loop device is left"
quickstart --stop
expect_grep 'nothing runs' "$SCRATCH/output"

note "a device of the user"
new_ext4 64M
cp --sparse=always "$LOOP" "$SCRATCH/before"
if [[ ! -d /var/lib/vhdxfs ]]; then
    mkdir /var/lib/vhdxfs
    defer rmdir /var/lib/vhdxfs
fi
mkdir "$SCRATCH/default-state"
mount --bind "$SCRATCH/default-state" /var/lib/vhdxfs # its state goes to the default place
defer umount /var/lib/vhdxfs
quickstart "$LOOP"
expect_grep "$LOOP is served" "$SCRATCH/output"
quickstart --stop
[[ $(ls "$SCRATCH/default-state") ]] || fail "no state in /var/lib/vhdxfs"
same_bytes "$LOOP" "$SCRATCH/before"
losetup "$LOOP" >/dev/null || fail "quickstart detached the user's device"

note "what cannot be served is not, and nothing is left"
expect_fail 1 'no such device' "$SRC/quickstart" "$SCRATCH/none"
[[ ! -e $VHDXFS_QUICKSTART_DIR ]] || fail "its directory is left"
expect_fail 1 'usage' "$SRC/quickstart" --frobnicate
