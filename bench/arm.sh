# shellcheck shell=bash disable=SC2034 # the variables are for the scripts
# SPDX-License-Identifier: GPL-2.0-or-later
# What the arms share. An arm is a script in bench/arms that makes a file or device to measure, says where it is with
# "offer", and then waits: "offer" returns never. When bench/run closes its standard input (also by dying), it ends,
# and what was deferred is undone, last first. The functions and rules are those of tests/e2e/lib.sh.
#
# bench/run sets:
#   DEVICE      the block device; [0, AREA) is for file systems, made anew by each arm that wants one
#   AREA        bytes
#   RAW_OFFSET  where the region for arms without a file system starts on DEVICE; the arm "raw" uses the same
#   REGION      its size; the region in a file has the same
#   ARM_REPLY   a file descriptor for the answer
# shellcheck disable=SC1090 # one of two
. "${ARM_LIBRARY:-$SRC/tests/e2e/lib.sh}"

# begin: each arm says it when it has asked for all that the machine may lack (need, skip) and has not made anything yet.
# Before bench/run plans its time it runs each script just to here.
begin() { [[ ! ${ARM_PROBE-} ]] || exit 0; }

# offer TARGET OFFSET [KEY=VALUE...]: fio may use [OFFSET, OFFSET + REGION) of the file or device TARGET. Keys:
#   direct=no   it cannot do O_DIRECT; the load is buffered
#   writes=no   it is read-only
#   pid=N       a process whose memory is reported (repeatable)
#   note=TEXT   for the report (repeatable)
#   smb=N       the process of an smbd whose share "bench" has the file TARGET: see benchlib/smb.py
offer() {
    printf '%s\0' "$@" $'\n' >&"$ARM_REPLY"
    exec {ARM_REPLY}>&-
    while read -r _; do :; done
    exit 0
}

# run_aside COMMAND...: a process of the arm, ended at its end. Sets ASIDE. It inherits neither end of the talk with
# bench/run.
run_aside() {
    "$@" </dev/null >>"$SCRATCH/aside.log" 2>&1 {ARM_REPLY}>&- &
    ASIDE=$!
    defer end_aside "$ASIDE"
}

end_aside() {
    if alive "$1"; then
        kill -TERM "$1" 2>/dev/null
        wait_until 10 dead "$1" || kill -KILL "$1" 2>/dev/null
    fi
    wait "$1" 2>/dev/null
    true
}

# aside_until CONDITION...: waits until it holds or the process ASIDE is dead; then its output is the reason.
aside_until() {
    settled() { "$@" || dead "$ASIDE"; }
    if ! wait_until "$DEADLINE" settled "$@" || dead "$ASIDE"; then
        tail -n 5 "$SCRATCH/aside.log"
        fail "not ready: $*"
    fi
}

# unmount_fuse DIR: for exporters that may answer a moment late that they are no longer busy.
unmount_fuse() { unmounted "$1" || wait_until 10 umount "$1" || umount --lazy "$1"; }

# make_area ext4|ntfs: a file system in the front of DEVICE; nothing is left to do in the background.
make_area() {
    case $1 in
    ext4)
        mke2fs -q -F -t ext4 -m 0 -b 4096 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard "$DEVICE" $((AREA / 1024))k
        ;;
    ntfs)
        mkfs.ntfs --quiet --fast --force --sector-size "$(blockdev --getss "$DEVICE")" "$DEVICE" \
            $((AREA / $(blockdev --getss "$DEVICE"))) >/dev/null
        ;;
    esac
}

# mount_area ext4|ntfs: makes and mounts it, at DIR.
mount_area() {
    make_area "$1"
    new_dir area
    if [[ $1 == ntfs ]]; then
        # The option big_writes is what its manual page advises for speed.
        ntfs-3g -o big_writes,no_def_opts "$DEVICE" "$DIR" {ARM_REPLY}>&-
        defer unmount_fuse "$DIR"
    else
        mount_at "$DEVICE" "$DIR"
    fi
}

# fill FILE SIZE: writes it, so that every block of it is allocated and was written once.
fill() {
    dd if=/dev/zero of="$1" bs=1M count=$(($2 / MiB)) conv=notrunc,fsync status=none
}

# make_vhdx FILE: a fixed VHDX for a disk of REGION bytes, every block of it written.
make_vhdx() {
    # Made elsewhere and copied: ntfs-3g cannot allocate ahead, which vhdxgen insists on.
    "$VHDXGEN" create --quiet --block-size=1M --size="$REGION" "$SCRATCH/made.vhdx"
    cp --sparse=never "$SCRATCH/made.vhdx" "$1"
    rm "$SCRATCH/made.vhdx"
}

# use_null_build: serve_device and others start a vhdxfs that asks no device and says that all is done.
use_null_build() {
    VHDXFS=$BUILD/null/fuse/vhdxfs NULL_BUILD=1
    [[ -x $VHDXFS ]] || skip "there is no $VHDXFS (bench/run makes it, but not with --no-build)"
}

# serve_device [vhdxfs's options]: makes the ext4 and serves the device; VHDX is the file, P where its payload starts.
serve_device() {
    local disk
    disk=$(blockdev --getsize64 "$DEVICE")
    make_area ext4
    new_dir export
    serve "$@" "$DEVICE" "$DIR" {ARM_REPLY}>&-
    # The block size is the daemon's choice; the file is the payload, whole blocks, and at most 1 GiB before it.
    P=$(vhdx_payload "$(stat -c %s "$VHDX")" "$disk")
}

# serve_disk [vhdxfs's options]: the same with disk.img, DISK; P is where the payload starts in that.
serve_disk() {
    local file
    serve_device -o "disk,state=$STATE" "$@"
    DISK=$SERVE_MNT/disk.img
    # The file lies at the end of the volume, and that ends 1 MiB before the disk, whose last MiB holds the second table.
    file=$(($(stat -c %s "$DISK") - 2 * MiB - $(stat -c %s "$VHDX")))
    cmp -n 8 -i "$file:0" "$DISK" "$VHDX" || fail "$DISK has no VHDX at $file"
    P=$((file + P))
    cmp -n 4096 -i "$P:0" "$DISK" "$DEVICE" || fail "$DISK does not have the partition at $P"
}

# vhdx_payload FILESIZE DISKSIZE: the payload's offset, by trying the block sizes.
vhdx_payload() {
    local bs
    for ((bs = MiB; bs <= 256 * MiB; bs *= 2)); do
        vhdx_geometry "$2" "$bs" "$(blockdev --getss "$DEVICE")"
        if [[ $VHDX_SIZE == "$1" ]] && { [[ ${NULL_BUILD-} ]] || cmp -s -n 4096 -i "$P:0" "$VHDX" "$DEVICE"; }; then
            echo "$P"
            return
        fi
    done
    fail "no block size fits a VHDX of $1 bytes for a disk of $2"
}

# need_fs ext4|ntfs: what make_area and mount_area use.
need_fs() {
    if [[ $1 == ntfs ]]; then
        need mkfs.ntfs ntfs-3g
    fi
}
