#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be served is refused with the reason and the right exit code, in the foreground and in the background
# alike, and leaves nothing behind.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
DEADLINE=20
need mkfs.xfs mkfs.btrfs pvcreate mkswap sfdisk debugfs

USAGE=1 UNSAFE=2 INVALID=3 IO=4
new_dir export
at=$DIR

# What vhdxfs leaves when it refused: no mount, no pidfile.
nothing_left() {
    unmounted "$at" || fail "refused, and mounted"
    [[ ! -e $SCRATCH/pidfile ]] || fail "refused, and left its pidfile"
}

# refused CODE PATTERN ARG...: both ways to start it.
refused() {
    local code=$1 pattern=$2
    shift 2
    expect_fail "$code" "$pattern" "$VHDXFS" -f --pidfile="$SCRATCH/pidfile" -o "state=$STATE" "$@"
    nothing_left
    expect_fail "$code" "$pattern" "$VHDXFS" --pidfile="$SCRATCH/pidfile" -o "state=$STATE" "$@"
    nothing_left
}

# serves ARG... SOURCE: the counterpart: with this it does work. A refusal must not come from something else.
serves() {
    serve "$@" "$at"
    stop_serving
}

note "the command line"
new_ext4 64M
good=$LOOP
serves "$good"
refused $USAGE 'source.*mountpoint.*needed'
refused $USAGE 'mountpoint.*needed' "$good"
refused $USAGE 'too many' "$good" "$at" "$at"
refused $USAGE 'unknown option .*--frobnicate' --frobnicate "$good" "$at"
refused $USAGE 'unknown option .*-Q' -Q "$good" "$at"
refused $USAGE "unknown.* option 'frobnicate'" -o frobnicate "$good" "$at"
refused $USAGE "unknown.* option 'frob'" -o frob=nicate "$good" "$at"
refused $USAGE "needs a value" "$good" "$at" -o
refused $USAGE 'power of two' --block-size=3M "$good" "$at"
refused $USAGE 'power of two' --block-size=512K "$good" "$at"
refused $USAGE 'power of two' --block-size=512M "$good" "$at"
refused $USAGE 'power of two' --block-size=big "$good" "$at"
refused $USAGE 'name' -o name=a/b "$good" "$at"
refused $USAGE 'uid' -o uid=somebody "$good" "$at"
refused $USAGE 'umask' -o umask=8 "$good" "$at"
refused $USAGE 'claim' -o claim=never "$good" "$at"

note "the source: not there, or not one"
refused $USAGE "$SCRATCH/none.*no such" "$SCRATCH/none" "$at"
refused $USAGE '/dev/none.*no such' /dev/none "$at"
refused $USAGE 'no such|not found|no device' UUID=00000000-1111-2222-3333-444444444444 "$at"
refused $USAGE 'no such|not found|no device' "$SCRATCH/no-*-such" "$at"
uuid=$(blkid -p -o value -s UUID "$good")
twin=$SCRATCH/disk.twin
cp --sparse=always "$good" "$twin"
e2label "$good" vhdxfs-e2e-twin
cp --sparse=always "$good" "$twin"
serves "UUID=$uuid" # of loop devices, one has it
serves LABEL=vhdxfs-e2e-twin
new_loop "$twin"
refused $USAGE "ambiguous.*$good" "UUID=$uuid" "$at"
refused $USAGE "ambiguous.*$LOOP" LABEL=vhdxfs-e2e-twin "$at"
refused $USAGE 'ambiguous' "$SCRATCH/disk.*" "$at"
serves "$SCRATCH/disk.tw*"

note "the source: of a wrong kind"
refused $USAGE '/dev/null.*(block device|regular file)' /dev/null "$at"
refused $USAGE 'block device|regular file' "$SCRATCH" "$at"
mkfifo "$SCRATCH/fifo"
refused $USAGE 'block device|regular file' "$SCRATCH/fifo" "$at"

note "the source: no size for a VHDX"
: >"$SCRATCH/empty"
refused $INVALID 'empty|zero|size' "$SCRATCH/empty" "$at"
new_loop "$SCRATCH/empty"
refused $INVALID 'empty|zero|size' "$LOOP" "$at"
cp --sparse=always "$twin" "$SCRATCH/odd"
e2label "$SCRATCH/odd" odd
serves "$SCRATCH/odd"
truncate -s +100 "$SCRATCH/odd"
refused $INVALID 'multiple of.*sector' "$SCRATCH/odd" "$at"
new_disk 64M --sector-size 2048
refused $INVALID '512 or 4096 bytes .size 67108864 bytes, sectors of 2048 bytes' "$LOOP" "$at"
mkswap "$LOOP" >/dev/null
refused $INVALID '512 or 4096 bytes' "$LOOP" "$at"
refused $INVALID '512 or 4096 bytes' -o ro "$LOOP" "$at"
refused $INVALID '512 or 4096 bytes' -o "cow=$SCRATCH/cow" "$LOOP" "$at"
new_huge 64T
huge_ext4 "$IMAGE"
serves "$IMAGE"
truncate -s +1M "$IMAGE"
refused $INVALID '64 TiB' "$IMAGE" "$at"

note "the mount point"
refused $USAGE 'mount point|no such' "$good" "$SCRATCH/missing"
: >"$at/file"
refused $USAGE 'not empty' "$good" "$at"
rm "$at/file"
refused $USAGE 'mount point|directory' "$good" /dev/null

note "the source: somebody else's"
new_disk 64M
mkswap "$LOOP" >/dev/null
refused $UNSAFE 'swap' "$LOOP" "$at"
new_disk 64M
pvcreate -q -y "$LOOP" >/dev/null 2>&1 || fail "pvcreate"
refused $UNSAFE 'LVM' "$LOOP" "$at"
new_disk 64M
echo ',,L' | sfdisk -q --no-reread "$LOOP"
refused $UNSAFE 'partition table' "$LOOP" "$at"
new_ext4 64M
echo ',,L' | sfdisk -q --no-reread --wipe never "$LOOP"
refused $UNSAFE 'more than one file system.*wipefs' "$LOOP" "$at"
new_disk 64M
refused $INVALID 'UUID' "$LOOP" "$at"

note "what the mount would hide"
truncate -s 64M "$SCRATCH/self.img"
mke2fs -q -F -t ext4 "$SCRATCH/self.img"
refused $USAGE 'lies in the mount point' "$SCRATCH/self.img" "$SCRATCH/self.img"
ln -s self.img "$SCRATCH/alias.img"
refused $USAGE 'lies in the mount point' "$SCRATCH/alias.img" "$SCRATCH/self.img"
refused $USAGE 'lies in the mount point' -o "state=$at" "$good" "$at"
refused $USAGE 'lies in the mount point' -o "state=$at/below/it" "$good" "$at"
refused $USAGE 'lies in the mount point' --pidfile="$at/pid" "$good" "$at"
refused $USAGE 'lies in the mount point' -o "cow=$at/cow" "$good" "$at"

note "an ext4 that should be looked after first"
new_ext4 64M
debugfs -w -R 'ssv state 2' "$LOOP" 2>/dev/null
refused $UNSAFE 'errors.*e2fsck' "$LOOP" "$at"
serves -o allow_errors "$LOOP"
new_ext4 64M
image=$IMAGE
new_loop "$image" --read-only
refused $UNSAFE 'write-protected|read-only' "$LOOP" "$at"
serves -o ro "$LOOP"

note "an image on a file system that is mounted read-only"
new_ext4 64M
new_dir holder
holder=$LOOP
mount_at "$holder" "$DIR"
truncate -s 16M "$DIR/disk.img"
mke2fs -q -F -t ext4 "$DIR/disk.img"
umount "$DIR"
mount_at "$holder" "$DIR" -o ro
refused $UNSAFE 'mounted read-only.*-o ro.*cow' "$DIR/disk.img" "$at"
serves -o ro "$DIR/disk.img"
serves -o "cow=$SCRATCH/overlay" "$DIR/disk.img"
umount "$DIR"

note "what cannot be used, or not by all"
new_ext4 64M
head -c 48M "$IMAGE" >"$SCRATCH/cut.img"
refused $UNSAFE '64 MiB.*48 MiB.*size back' "$SCRATCH/cut.img" "$at"
serves -o allow_errors,ro "$SCRATCH/cut.img"
new_disk 16M
journal=$LOOP
mke2fs -q -F -b 4096 -O journal_dev "$journal"
refused $UNSAFE 'external ext4 journal' "$journal" "$at"
new_disk 64M
mke2fs -q -F -t ext4 -b 4096 -J "device=$journal" "$LOOP"
serves "$LOOP"
expect_grep 'warning: .*journal is on another device' "$SERVE_LOG"
debugfs -w -R 'feature needs_recovery' "$LOOP" >/dev/null 2>&1
refused $UNSAFE 'journal is on another device.*mount it here once' "$LOOP" "$at"
new_ext4 64M -O casefold -E encoding=utf8
serves "$LOOP"
expect_grep "warning: .*WSL.* cannot mount: casefold" "$SERVE_LOG"
new_disk 64M
mke2fs -q -F -t ext4 -b 65536 "$LOOP" 2>/dev/null
serves "$LOOP"
expect_grep 'warning: .*65536 bytes.*larger than a page' "$SERVE_LOG"
new_disk 128M
first=$LOOP
new_disk 128M
mkfs.btrfs -q -f -d single -m raid1 "$first" "$LOOP"
refused $UNSAFE 'one of 2 devices of a btrfs' "$first" "$at"
new_disk 128M
mkfs.btrfs -q -f "$LOOP"
serves "$LOOP"

note "in use: mounted, here and in another namespace; with another vhdxfs"
new_dir mnt
mount_at "$good" "$DIR"
refused $UNSAFE "$DIR" -o claim=mount "$good" "$at"
umount "$DIR"
coproc HOLDER { unshare --mount --propagation private bash -c 'mount "$1" "$2" && echo mounted && read -r _' - "$good" "$DIR"; }
read -r -u "${HOLDER[0]}" -t "$DEADLINE" line
expect_equal "the other namespace" "$line" mounted
refused $UNSAFE 'in use|busy|held' -o claim=mount "$good" "$at"
echo >&"${HOLDER[1]}"
wait "$HOLDER_PID"
wait_until "$DEADLINE" device_free "$good"
serves -o claim=mount "$good"

note "the environment: no /dev/fuse, no permission"
# shellcheck disable=SC2016 # expands inside
no_fuse='mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"'
expect_fail $IO '/dev/fuse' unshare --mount --propagation private bash -c "$no_fuse" - \
    "$VHDXFS" -f -o "state=$STATE" "$twin" "$at"
expect_fail $IO '/dev/fuse' unshare --mount --propagation private bash -c "$no_fuse" - \
    "$VHDXFS" -o "state=$STATE" "$twin" "$at"
nothing_left
cp "$VHDXFS" "$SCRATCH/vhdxfs" # nobody may not reach the build directory
new_ext4 64M
chmod 600 "$twin"
chmod 755 "$at"
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
mkdir -m 777 "$SCRATCH/nobody"
# shellcheck disable=SC2016 # expands inside
fuse_for_root='mount -t tmpfs -o mode=755 none /dev && mknod -m 666 /dev/null c 1 3 &&
    mknod -m 600 /dev/fuse c 10 229 && exec "$@"'
# shellcheck disable=SC2016
fuse_for_all='
    mount -t tmpfs -o mode=755 none /dev
    mknod -m 666 /dev/null c 1 3
    mknod -m 666 /dev/fuse c 10 229
    mknod -m 600 "$1" b 7 "${1#/dev/loop}"
    shift
    exec "$@"'
for source in "$LOOP" "$twin"; do
    expect_fail $IO "$source.*(permi|denied)" unshare --mount --propagation private bash -ec "$fuse_for_all" - "$LOOP" \
        "${as_nobody[@]}" "$SCRATCH/vhdxfs" -f -o "state=$SCRATCH/nobody" "$source" "$at"
    nothing_left
done
expect_fail $IO '/dev/fuse.*permi' unshare --mount --propagation private bash -c "$fuse_for_root" - \
    "${as_nobody[@]}" "$SCRATCH/vhdxfs" -f -o "state=$SCRATCH/nobody" "$twin" "$at"
refused $IO 'state|/proc' -o state=/proc/vhdxfs "$LOOP" "$at"

note "served by another vhdxfs"
new_ext4 64M
new_dir other
serve -o claim=mount "$LOOP" "$DIR"
refused $UNSAFE 'already served by another vhdxfs.*process [0-9]+' "$LOOP" "$at"
refused $UNSAFE 'already served by another vhdxfs' -o "state=$SCRATCH/elsewhere" "$LOOP" "$at"
stop_serving
serve "$LOOP" "$DIR"
exec 5<"$VHDX"
refused $UNSAFE 'already served by another vhdxfs' "$LOOP" "$at"
exec 5<&-
stop_serving
serves "$LOOP"
