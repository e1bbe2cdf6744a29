#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The partition changes hands again and again, between Linux and a client of the VHDX. After each change every way to read,
# on both sides, sees what the other side wrote last, though each has read (and cached) the old data before. And the races:
# two opens, an open against a mount, a device that goes away and comes back, or comes back as another.
# test: timeout=300
. "$(dirname "$0")/lib.sh"
POKE=$BUILD/tests/tools/poke

rounds=$([[ ${QUICK-}${SANITIZED-} ]] && echo 4 || echo 16)
size=$((64 * MiB)) fs=$((16 * MiB)) # a file system in front, room for stamps behind
vhdx_geometry "$size" "$MiB"
new_dir export
export_dir=$DIR
new_dir mnt
mnt=$DIR

# free SOURCE: the daemon has given it back.
free() {
    if [[ -b $1 ]]; then device_free "$1"; else "$SCRATCH/ofd" "$1"; fi
}
# Nobody can ask for an open-file-description lock from a shell; QEMU can.
printf '#!/bin/bash\nqemu-io -f raw -c "read 0 512" "$1" >/dev/null 2>&1\n' >"$SCRATCH/ofd"
chmod +x "$SCRATCH/ofd"
need qemu-io

# ways FILE: those that the file can be read by.
ways() {
    local way
    for way in buffered direct shared private; do
        if "$POKE" "$way" "$1" 4096 >/dev/null 2>&1; then echo "$way"; fi
    done
}

# Who has what locked, for a message.
locks() {
    echo "locks:"
    grep -H '^lock:' /proc/[0-9]*/fdinfo/* 2>/dev/null || true
    cat /proc/locks
    ls -l "/proc/$SERVE_PID/fd"
}

# expect_stamp FILE BASE TEXT: each way, in changing order, reads TEXT in each of four places.
expect_stamp() {
    local file=$1 base=$2 text=$3 way place seen
    for way in $(shuf -e "${read_ways[@]}"); do
        for place in 0 1 2 3; do
            seen=$("$POKE" "$way" "$file" $((base + place * 5 * MiB))) || fail "$way cannot read $file: $(locks)"
            expect_equal "what $way sees in $file" "$seen" "$text.$place"
        done
    done
}

# stamp WAY FILE BASE TEXT: writes in the four places.
stamp() {
    local place
    for place in 0 1 2 3; do "$POKE" "$1" "$2" $(($3 + place * 5 * MiB)) "$4.$place"; done
}

# unmount_native SOURCE: umount leaves the loop device of an image to the kernel, which detaches it at its last close; and others
# open it for a moment when they look at all loop devices, as each vhdxfs does that takes a partition.
unlooped() { [[ $(loops_on "$SCRATCH") != *" $1"* ]]; }
unmount_native() {
    umount "$mnt"
    wait_until "$DEADLINE" unlooped "$1" || fail "$1 is unmounted, and still on a loop device: $(loops_on "$SCRATCH")"
}

# write_native SOURCE WAY TEXT: by Linux, while nobody has the VHDX open.
write_native() {
    case $2 in
    looped) # an image attached for a moment
        new_loop "$1"
        stamp buffered "$LOOP" "$fs" "$3"
        free_loop "$LOOP"
        ;;
    *) stamp "$2" "$1" "$fs" "$3" ;;
    esac
    # And what people do: mount it, and write a file.
    mount ${loop_option[@]+"${loop_option[@]}"} "$1" "$mnt"
    echo "$3" >"$mnt/stamp"
    unmount_native "$1"
}

change_hands() {
    local source=$1 round i way text
    local -a native=(buffered direct shared) client=()
    loop_option=()
    if [[ -f $source ]]; then
        native+=(looped)
        loop_option=(-o loop)
    fi
    note "$source: changes of hands"
    serve "$source" "$export_dir"
    # Somebody has the device open all the time, as udev or a desktop does; this keeps its cache alive.
    exec 6<"$source"
    mapfile -t client < <(ways "$VHDX")
    note "the VHDX can be read by: ${client[*]}"
    [[ " ${client[*]} " == *" buffered direct "* ]] || fail "neither buffered nor direct"
    for ((round = 0; round < rounds; round++)); do
        way=${native[round % ${#native[@]}]}
        text="native.$way.$round"
        wait_until "$DEADLINE" free "$source" || fail "$source was not given back"
        write_native "$source" "$way" "$text"
        read_ways=(buffered direct shared)
        expect_stamp "$source" "$fs" "$text"
        read_ways=("${client[@]}")
        expect_stamp "$VHDX" $((P + fs)) "$text"

        # private is for reading only
        for ((i = 0; i < 2; i++)); do
            way=${client[(round + i) % ${#client[@]}]}
            [[ $way == private ]] && way=buffered
            text="client.$way.$round.$i"
            stamp "$way" "$VHDX" $((P + fs)) "$text"
            expect_stamp "$VHDX" $((P + fs)) "$text"
        done
        wait_until "$DEADLINE" free "$source" || fail "$source was not given back"
        read_ways=(buffered direct shared)
        expect_stamp "$source" "$fs" "$text"
        mount -o ro ${loop_option[@]+"${loop_option[@]:1}"} "$source" "$mnt" 2>/dev/null ||
            mount ${loop_option[@]+"${loop_option[@]}"} "$source" "$mnt"
        expect_equal "the file in $source" "$(cat "$mnt/stamp")" "native.${native[round % ${#native[@]}]}.$round"
        unmount_native "$source"
    done
    exec 6<&-
    cp --sparse=always "$VHDX" "$SCRATCH/through"
    stop_serving
    same_bytes "$SCRATCH/through" "$source" --ignore-initial="$P:0"
    rm "$SCRATCH/through"
}

disk_file=$SCRATCH/disk
truncate -s "$size" "$disk_file"
new_named_loop "$disk_file"
disk=$LOOP
mke2fs -q -F -t ext4 -E nodiscard "$disk" 16M
change_hands "$disk"
fsck_clean "$disk"

image=$SCRATCH/image
truncate -s "$size" "$image"
mke2fs -q -F -t ext4 -E nodiscard "$image" 16M
change_hands "$image"
e2fsck -fn "$image" >/dev/null 2>&1 || fail "e2fsck is not content with $image"

# --- races ------------------------------------------------------------------------

serve "$disk" "$export_dir"
tries=$([[ ${QUICK-}${SANITIZED-} ]] && echo 40 || echo 200)

note "two opens at once: both succeed"
for ((i = 0; i < tries; i++)); do
    head -c 8 "$VHDX" >"$SCRATCH/one" &
    other=$!
    head -c 8 "$VHDX" >"$SCRATCH/two" || fail "the second of two opens, try $i"
    wait "$other" || fail "the first of two opens, try $i"
    [[ $(cat "$SCRATCH/one" "$SCRATCH/two") == vhdxfilevhdxfile ]] || fail "try $i: $(cat "$SCRATCH/one" "$SCRATCH/two")"
done

note "an open against a mount: one of them, never both"
: >"$SCRATCH/lock"
# Each side takes the lock while it has the partition. Nobody waits for it: who finds it taken has found both at once.
# They go on for the time given, and until each has had it often enough, which takes longer where others have the processors.
successes() { stat -c %s "$SCRATCH/$1"; }
goes_on() {
    ((SECONDS >= until)) || return 0
    ((SECONDS < until + DEADLINE)) && (($(successes mounts) <= 10 || $(successes opens) <= 10))
}
touch "$SCRATCH/mounts" "$SCRATCH/opens"
mounting() {
    local n=0
    while goes_on; do
        n=$((n + 1))
        mount "$disk" "$mnt" 2>/dev/null || continue
        flock -n "$SCRATCH/lock" sleep 0.002 || echo "mounted while the VHDX was open" >>"$SCRATCH/both"
        umount "$mnt"
        printf x >>"$SCRATCH/mounts"
        sleep "0.00$((RANDOM % 10))"
    done
    echo "$n" >"$SCRATCH/mount_tries"
}
opening() {
    local n=0
    while goes_on; do
        n=$((n + 1))
        { exec 7<"$VHDX"; } 2>/dev/null || continue
        flock -n "$SCRATCH/lock" sleep 0.002 || echo "opened while the partition was mounted" >>"$SCRATCH/both"
        exec 7<&-
        printf x >>"$SCRATCH/opens"
        # A claim is given back some time after the close: give the other side a chance.
        sleep "0.0$((RANDOM % 5))"
    done
    echo "$n" >"$SCRATCH/open_tries"
}
until=$((SECONDS + $([[ ${QUICK-}${SANITIZED-} ]] && echo 4 || echo 12)))
mounting &
mounter=$!
opening
wait "$mounter"
unmount "$mnt"
[[ ! -e $SCRATCH/both ]] || fail "$(cat "$SCRATCH/both")"
mounts=$(successes mounts) opens=$(successes opens)
note "$mounts of $(<"$SCRATCH/mount_tries") mounts and $opens of $(<"$SCRATCH/open_tries") opens succeeded"
((mounts > 10 && opens > 10)) || fail "one side hardly ever got the partition"

# --- another device, or none ---------------------------------------------------------

cannot_open() { # PATTERN in the log
    ! { true <"$VHDX"; } 2>/dev/null || fail "opened, and must not"
    expect_grep "$1" "$SERVE_LOG"
}
can_open() { [[ $(head -c 8 "$VHDX") == vhdxfile ]]; }
given_back() { wait_until "$DEADLINE" free "$disk" || fail "$disk was not given back"; }

# tune2fs wants a file system that was just checked.
set_uuid() {
    e2fsck -fp "$disk" >/dev/null || (($? == 1))
    tune2fs -U "$1" "$disk" >/dev/null || fail "cannot set the UUID"
}

note "a device that goes away and comes back, perhaps under another name"
stop_serving
ln -s "$disk" "$SCRATCH/partition"
serve "$SCRATCH/partition" "$export_dir"
free_loop "$disk"
cannot_open "$disk is empty now"
new_loop "$disk_file"
disk=$LOOP
ln -sfn "$disk" "$SCRATCH/partition"
can_open || fail "cannot open it after it came back"

note "another size between two claims"
given_back
truncate -s $((size + MiB)) "$disk_file"
losetup --set-capacity "$disk"
cannot_open "changed its size"
truncate -s "$size" "$disk_file"
losetup --set-capacity "$disk"
can_open || fail "cannot open it when it has its size again"

note "another UUID between two claims"
given_back
uuid=$(blkid -p -s UUID -o value "$disk")
set_uuid random
cannot_open "not the partition it was"
set_uuid "$uuid"
can_open || fail "cannot open it when it has its UUID again"
stop_serving
fsck_clean "$disk"
