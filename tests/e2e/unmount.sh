#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A signal unmounts, whatever libfuse would do by itself: also where /etc/mtab is there (libfuse then runs umount(8), which
# a daemon under its filter cannot), and it leaves alone what was mounted over it.
# test: timeout=60
. "$(dirname "$0")/lib.sh"

new_ext4 64M
disk=$LOOP
new_dir export
at=$DIR
cp -a /etc "$SCRATCH/etc"
rm -f "$SCRATCH/etc/mtab"
mount --bind "$SCRATCH/etc" /etc # this mount namespace is ours alone
own_etc() { umount --lazy /etc 2>/dev/null || true; }
defer own_etc

for mtab in none link file; do
    note "mtab: $mtab"
    rm -f /etc/mtab
    case $mtab in
    link) ln -s ../proc/self/mounts /etc/mtab ;;
    file) : >/etc/mtab ;;
    esac
    serve "$disk" "$at"
    kill -TERM "$SERVE_PID"
    wait "$SERVE_PID" || fail "exit code $?"
    unmounted "$at" || fail "it is still mounted"
    ! grep -i 'umount' "$SERVE_LOG" || fail "libfuse wanted to unmount"

    note "while a client has the file open"
    serve "$disk" "$at"
    exec 7<"$VHDX"
    kill -TERM "$SERVE_PID"
    wait "$SERVE_PID" || fail "exit code $?"
    unmounted "$at" || fail "it is still mounted"
    ! grep -i 'umount' "$SERVE_LOG" || fail "libfuse wanted to unmount"
    ! head -c 1 <&7 >/dev/null 2>&1 || fail "a client of a daemon that is gone reads"
    exec 7<&-
done
own_etc

note "unmounted by somebody, and something else mounted there"
serve "$disk" "$at"
exec 7<"$VHDX"
umount --lazy "$at"
mount -t tmpfs none "$at"
touch "$at/somebody's"
exec 7<&-
wait "$SERVE_PID" || fail "exit code $?"
[[ -e $at/somebody\'s ]] || fail "what was mounted over it is gone"
umount "$at"
fsck_clean "$disk"
