#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What partitioning tools write over an ext4 is refused, whole or in pieces, and leaves every byte of the disk as it was;
# what ext4 and e2fsprogs write passes.
# test: timeout=180 asan=no
. "$(dirname "$0")/lib.sh"
need qemu-io sgdisk sfdisk xfs_io

P=$((4 * MiB))
new_dir export
export_dir=$DIR
new_dir mnt
mnt=$DIR

# attach KIB: INNER is a loop device over the payload, as a client's disk; its requests have KIB KiB at most, 0: as they come.
attach() {
    local block=$disk
    new_loop "$VHDX" --offset "$P" --sizelimit "$(blockdev --getsize64 "$block")" \
        --sector-size "$(blockdev --getss "$block")"
    INNER=$LOOP
    limit=/sys/block/${INNER#/dev/}/queue/max_sectors_kb
    own_limit=$(<"$limit")
    if (($1)); then
        defer restore_limit "$INNER" "${loop_ids[$INNER]}" "$own_limit" # it outlives the attachment
        echo "$1" >"$limit"
    fi
}
restore_limit() { loop_gone "$1" "$2" || echo "$3" >"/sys/block/${1#/dev/}/queue/max_sectors_kb"; }
detach() {
    sync "$INNER" 2>/dev/null || true
    blockdev --flushbufs "$INNER" 2>/dev/null || true
    restore_limit "$INNER" "${loop_ids[$INNER]}" "$own_limit"
    free_loop "$INNER"
    wait_until "$DEADLINE" device_free "$disk"
}

# pieces COMMAND FROM TO SIZE up|down: xfs_io's COMMAND for each piece of a range, whatever becomes of the one before.
pieces() {
    local command=$1 from=$2 to=$3 size=$4 at
    local -a list=()
    for ((at = from; at < to; at += size)); do
        if [[ $5 == up ]]; then
            list+=(-c "$command $at $size")
        else
            list=(-c "$command $at $size" "${list[@]}")
        fi
    done
    xfs_io -d "${list[@]}" "$target" >"$SCRATCH/xfs_io" 2>&1 || true
}
zeros() { pieces "pwrite -q -S 0 -b $3" "$1" "$2" "$3" "$4"; }

refusals() { grep -c 'refused a write.*nofirewall' "$SERVE_LOG" || true; }

# attacked KIB COMMAND...: runs it on a loop device, TARGET; it must be refused, and change nothing.
attacked() {
    local kib=$1 before
    shift
    before=$(refusals)
    attach "$kib"
    target=$INNER
    "$@" >"$SCRATCH/out" 2>&1 || true
    detach
    wait_until "$DEADLINE" more_than "$before" refusals || fail "nothing was refused of: $*, requests of $kib KiB"
    same_bytes "$disk" "$SCRATCH/copy"
}

new_table() { sgdisk -n 1:0:0 -c 1:root "$target"; }
mbr_table() { echo ',,L' | sfdisk --no-reread --label dos "$target"; }
gpt_table() { echo ',,L' | sfdisk --no-reread --label gpt "$target"; }
wipe() { wipefs --all --force "$target"; }
# The table that sgdisk makes, as a program that knows nothing of pages writes it: SIZE, up or down.
image() {
    local n size=$1 last=$((images / $1 - 1))
    for n in $(if [[ $2 == up ]]; then seq 0 $last; else seq $last -1 0; fi); do
        dd if="$SCRATCH/table" of="$target" bs="$size" skip="$n" seek="$n" count=1 oflag=direct conv=notrunc status=none || true
    done
}
clean() { # as diskpart's
    local disk_size
    disk_size=$(blockdev --getsize64 "$target")
    zeros 0 $MiB "$1" up
    zeros $((disk_size - MiB)) "$disk_size" "$1" up
}
discarded() {
    blkdiscard -o 0 -l $MiB -p 64K "$target" || true
    pieces fpunch 0 $MiB 65536 up
}

# A table as it would be on this disk, made on a file.
make_table() {
    local size sector plain
    size=$(blockdev --getsize64 "$disk") sector=$(blockdev --getss "$disk")
    plain=$(mktemp "$SCRATCH/plain.XXXXXX")
    truncate -s "$size" "$plain"
    new_loop "$plain" --sector-size "$sector"
    target=$LOOP new_table >/dev/null
    images=$((sector == 512 ? 20480 : 24576))
    head -c $images "$plain" >"$SCRATCH/table"
    grep -q 'EFI PART' "$SCRATCH/table" || fail "sgdisk made no table"
}

check_attacks() { # SECTOR "KIB..." mke2fs's options
    local sector=$1 sizes=$2 kib size
    shift 2
    new_disk 64M --sector-size "$sector"
    disk=$LOOP
    # Bytes that are no zeros, wherever there is no metadata.
    head -c $((64 * MiB)) /dev/urandom >"$IMAGE"
    mke2fs -q -F -t ext4 -E lazy_itable_init=0,nodiscard "$@" "$disk"
    cat "$disk" >"$SCRATCH/copy"
    make_table
    note "sectors of $sector bytes, $*: tables, wiping, zeros in all pieces"
    serve "$disk" "$export_dir"
    for kib in $sizes; do
        attacked "$kib" new_table # sgdisk sleeps for a second
        attacked "$kib" gpt_table
    done
    attacked 0 mbr_table
    attacked 0 wipe
    for size in 4096 8192; do
        attacked 0 image $size up
    done
    for size in 4096 65536; do
        attacked 0 clean $size
    done
    attacked 4 clean 65536
    attacked 0 discarded
    note "and directly"
    expect_fail 1 'input/output' fallocate --zero-range -o $P -l $MiB "$VHDX"
    if ((sector == 512)); then # QEMU knows no others
        expect_fail any 'input/output' qemu-io -f vhdx -c 'write -z 0 1M' "$VHDX"
        expect_fail any 'input/output' qemu-io -f vhdx -c 'write -P 0 1024 1024' "$VHDX"
    fi
    wait_until "$DEADLINE" device_free "$disk"
    same_bytes "$disk" "$SCRATCH/copy"
    fsck_clean "$disk"
}

# Downwards what the rules do not know passes, until they know something: superblock and descriptors are whole.
check_downwards() { # BYTES-THAT-STAY
    attach 0
    target=$INNER
    "${@:2}" >/dev/null 2>&1 || true
    detach
    same_bytes "$disk" "$SCRATCH/copy" --bytes="$1"
    cat "$SCRATCH/copy" >"$disk"
}

check_attacks 512 "0 4" -b 4096 -O ^resize_inode
head_size=8192 # boot block, superblock, one block of descriptors
note "downwards"
check_downwards $head_size zeros 0 $MiB 4096 down
check_downwards 65536 zeros 0 $MiB 65536 down
check_downwards $head_size image 4096 down
stop_serving
check_attacks 4096 4 -b 4096 -g 1024
stop_serving
check_attacks 512 4 -b 1024 -O 64bit
note "the latch goes with the claim, and says so"
expect_grep 'right after the write that was refused.*5 s' "$SERVE_LOG"
attach 0
dd if="$SCRATCH/copy" of="$INNER" bs=64K count=16 oflag=direct conv=notrunc status=none
expect_fail any 'input/output' dd if=/dev/zero of="$INNER" bs=4K count=1 oflag=direct conv=notrunc
expect_fail any 'input/output' dd if="$SCRATCH/copy" of="$INNER" bs=4K seek=255 skip=255 count=1 oflag=direct conv=notrunc
dd if="$SCRATCH/copy" of="$INNER" bs=4K seek=256 skip=256 count=1 oflag=direct conv=notrunc status=none
detach
same_bytes "$disk" "$SCRATCH/copy"
stop_serving
serve -o nofirewall "$disk" "$export_dir"
attach 0
target=$INNER
zeros 0 $MiB 65536 up
detach
stop_serving
head -c $MiB "$disk" | same_bytes - <(head -c $MiB /dev/zero)

# --- what must pass -------------------------------------------------------------

new_disk 1G
disk=$LOOP

program() {
    local rc=0
    "$@" >"$SCRATCH/out" 2>&1 || rc=$?
    [[ $rc == 0 || ($1 == e2fsck && $rc == 1) ]] || {
        cat "$SCRATCH/out"
        fail "exit code $rc: $*"
    }
}

mounted() { (($((16#$(awk '/^CapEff/ { print $2 }' /proc/self/status))) >> 24 & 1)); }

mounted() {
    mount_at "$INNER" "$mnt" -o init_itable=0
    head -c 3M /dev/urandom >"$mnt/one"
    sync "$mnt/one"
    head -c 3M /dev/urandom >"$mnt/two"
    rm "$mnt/one"
    sync -f "$mnt"
    program fstrim "$mnt"
    unmount "$mnt"
}

# mke2fs's options: made, changed and used through a client's disk with small requests. (Growing a mounted one needs a
# capability that root may lack here: guest/grow shows that.)
changed() {
    note "ordinary work on: $*"
    dd if=/dev/zero of="$disk" bs=1M count=2 conv=notrunc status=none
    mke2fs -q -F -t ext4 -E lazy_itable_init=1,nodiscard "$@" "$disk" 300M
    serve "$disk" "$export_dir"
    attach 4
    mounted
    program e2fsck -fy "$INNER"
    program tune2fs -L label -U random "$INNER"
    program e2fsck -fy "$INNER"
    if [[ $* != *bigalloc* ]]; then # which resize2fs has not learnt
        program resize2fs "$INNER" 900M
        program resize2fs -M "$INNER"
        program e2fsck -fy "$INNER"
        program resize2fs "$INNER" 600M
        program resize2fs -b "$INNER"
        program resize2fs -s "$INNER"
        program e2fsck -fy "$INNER"
        program tune2fs -O ^metadata_csum "$INNER"
        program tune2fs -O metadata_csum "$INNER"
        program e2fsck -fy "$INNER"
        program resize2fs "$INNER" 60M
        program resize2fs "$INNER" 700M
        mounted
        if [[ $* != *resize_inode* ]]; then
            program tune2fs -O ^resize_inode "$INNER"
            program e2fsck -fy "$INNER"
            program resize2fs "$INNER" 100M
        fi
    fi
    program e2fsck -fy "$INNER"
    detach
    stop_serving
    expect_equal "refusals" "$(grep -i refused "$SERVE_LOG" || true)" ""
    fsck_clean "$disk"
}
changed -b 1024
changed -b 1024 -O ^64bit,^has_journal -N 64
changed -b 1024 -O ^resize_inode,^flex_bg
changed -b 4096 -g 1024
changed -b 1024 -O meta_bg,^resize_inode
changed -b 1024 -O bigalloc
