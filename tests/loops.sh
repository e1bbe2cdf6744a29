# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whose loop device it is, for tests/run and e2e/lib.sh: others attach and detach theirs at the same time, and a name goes to
# whoever asks first.

# loop_id DEVICE: the number of what is attached, which is never given again (Linux 5.15 and later); nothing when it is free.
# Not from the backing file: that of a dead daemon cannot be asked for anything.
loop_id() {
    local at=/sys/block/${1#/dev/}
    [[ ! -e $at/loop/backing_file ]] || cat "$at/diskseq" 2>/dev/null || true
}
loop_gone() { [[ $(loop_id "$1") != "$2" ]]; }

# The numbers from here on are given to devices whose names nobody else is to be given (lib.sh's new_named_loop).
LOOP_NAMED=100000

# loop_remove DEVICE: when it is such a one and detached, there is no device of that name any more.
loop_remove() {
    local number=${1#/dev/loop}
    ((number < LOOP_NAMED)) || [[ ! -e $1 ]] ||
        python3 -c "import fcntl; fcntl.ioctl(open('/dev/loop-control'), 0x4C81, $number)" # LOOP_CTL_REMOVE
}

# loops_on DIR: the loop devices whose file is below DIR, one "device file" each. The name of the file is what the kernel
# makes of it; of one in a mount that is gone it is not below DIR.
loops_on() {
    local at file
    for at in /sys/block/loop*; do
        { read -r file <"$at/loop/backing_file"; } 2>/dev/null || continue
        [[ $file != "$1"/* ]] || echo "/dev/${at##*/} $file"
    done
}
