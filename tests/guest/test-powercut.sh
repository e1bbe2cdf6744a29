#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Power cuts. In a guest, device-mapper's log-writes target records every write and flush that reaches the partition and
# the disk of the state directory, while three threads write and flush through the mount. Then the disks are rebuilt here
# as they were at many moments, without what no flush had made durable, and the daemon must serve them: what was flushed is
# there, each metadata page is of one moment, QEMU and e2fsck are content. CUTS=N cut points for each of two runs;
# SEED=N repeats the load (not its timing).
#
#   one log   both disks are parts of one: a cut is possible between any two writes; of those behind the last flush
#             some are left out, some torn at a sector
#   two logs  each disk has its own, so a flush of one does not stand in for a missing flush of the other; cuts at the
#             marks set in both
# test: timeout=600 quick=no
. "$(dirname "$0")/../e2e/lib.sh"
need qemu-img dmsetup
STORM=$BUILD/tests/tools/storm
REPLAY=$BUILD/tests/tools/replay-log

CUTS=${CUTS:-$([[ ${QUICK-} ]] && echo 12 || echo 100)}
SEED=${SEED:-$((SRANDOM % 100000))}
note "seed $SEED, $CUTS cuts in each run"
part=$((40 * MiB)) reserved=$((8 * MiB)) state=$((32 * MiB))
vhdx_geometry "$part" "$MiB"
load=(--seed="$SEED" --payload="$P" --disk="$part" --reserved="$reserved" --largest=65536)

# --- what both runs start with ----------------------------------------------------

truncate -s "$part" "$SCRATCH/part.img"
mke2fs -q -F -t ext4 -E nodiscard "$SCRATCH/part.img" 8M
truncate -s "$state" "$SCRATCH/state.img"
mke2fs -q -F -t ext4 -E nodiscard "$SCRATCH/state.img"
new_dir export
# A loop device has the sector sizes that the guest's disks have; an image file would get others.
new_loop "$SCRATCH/part.img"
serve "$LOOP" "$DIR"
cp --sparse=always "$VHDX" "$SCRATCH/base.vhdx"
stop_serving

# --- the guest -----------------------------------------------------------------------

cat >"$SCRATCH/mark" <<'END'
#!/bin/sh
for log in /dev/mapper/log*; do dmsetup message "${log##*/}" 0 mark "m$1" || exit 1; done
END
chmod +x "$SCRATCH/mark"

cat >"$SCRATCH/guest" <<'END'
#!/bin/bash
set -euo pipefail
size() { blockdev --getsz "$1"; }
create() { dmsetup create "$1" --table "$2"; }
if [[ $LOGS == 1 ]]; then
    create log "0 $(size /dev/vda) log-writes /dev/vda /dev/vdb"
    create part "0 $PART linear /dev/mapper/log 0"
    create state "0 $STATE linear /dev/mapper/log $PART"
    out=/dev/vdc
else
    create logp "0 $PART log-writes /dev/vda /dev/vdb"
    create logs "0 $STATE log-writes /dev/vdc /dev/vdd"
    create part "0 $PART linear /dev/mapper/logp 0"
    create state "0 $STATE linear /dev/mapper/logs 0"
    out=/dev/vde
fi
mkdir /state /export
mount -t ext4 /dev/mapper/state /state
mkdir /state/vhdxfs
vhdxfs -f --pidfile=/run/pid -o state=/state/vhdxfs /dev/mapper/part /export &
pid=$!
until [[ -s /run/pid ]]; do
    kill -0 "$pid" || exit 1
    sleep 0.05
done
storm record "$@" --file=/export/ext4.vhdx --log=/tmp/record --command=/bin/mark
kill "$pid"
wait "$pid"
umount /state
dmsetup remove part
dmsetup remove state
for log in /dev/mapper/log*; do dmsetup remove "${log##*/}"; done
tar -c -f "$out" -C /tmp record
END

# guest LOGS DISK...: one run; the record is then in $SCRATCH/record.
guest() {
    local logs=$1 disk rc=0
    local -a disks=()
    shift
    truncate -s 0 "$SCRATCH/out.img"
    truncate -s 64M "$SCRATCH/out.img"
    for disk; do disks+=(--disk "$disk"); done
    "$SRC/tests/guest/run" --timeout 200 --module dm-log-writes --module ext4 --program dmsetup \
        --program "$VHDXFS" --program "$STORM" --file "$SCRATCH/mark:bin/mark" \
        --env "LOGS=$logs" --env "PART=$((part / 512))" --env "STATE=$((state / 512))" "${disks[@]}" \
        --disk "$SCRATCH/out.img" "$SCRATCH/guest" "${load[@]}" --count="$CUTS" --span=60 --pause=3000 || rc=$?
    if ((rc == 77)); then exit 77; fi
    ((rc == 0)) || fail "the run in the guest failed"
    tar -x -f "$SCRATCH/out.img" -C "$SCRATCH" record
}

# --- the judgement -------------------------------------------------------------------

# judge PART STATE FROM TO: FROM and TO are marks. The arguments of losetup are in PART and STATE.
judge() {
    local part_loop state_loop from=$3 to=$4
    # shellcheck disable=SC2086 # file and options
    new_loop $1
    part_loop=$LOOP
    # shellcheck disable=SC2086
    new_loop $2
    state_loop=$LOOP
    mount -t ext4 "$state_loop" "$STATE"
    defer unmount "$STATE"
    [[ -d $STATE/vhdxfs ]] || mkdir "$STATE/vhdxfs"
    serve -o "state=$STATE/vhdxfs" "$part_loop" "$DIR"
    "$STORM" verify "${load[@]}" --file="$VHDX" --base="$SCRATCH/base.vhdx" --log="$SCRATCH/record" \
        --from="$from" --to="$to" || fail "cut between marks $from and $to (SEED=$SEED)"
    qemu-img check -q -f vhdx "$VHDX" || fail "QEMU is not content at a cut between marks $from and $to"
    stop_serving
    umount "$STATE"
    fsck_clean "$part_loop"
    fsck_clean "$state_loop"
    free_loop "$part_loop"
    free_loop "$state_loop"
}

# entry_of LIST MARK: its index.
entry_of() { awk -v mark="m$2" '$5 == mark { print $1 }' "$1"; }

# --- one log -----------------------------------------------------------------------------

one_log() {
    local -a group before after points
    local i entries flags mark last=0 from=start applied=0 cut
    cat "$SCRATCH/part.img" "$SCRATCH/state.img" >"$SCRATCH/both.img"
    cp "$SCRATCH/both.img" "$SCRATCH/run.img"
    truncate -s 2G "$SCRATCH/log.img"
    guest 1 "$SCRATCH/run.img" "$SCRATCH/log.img"
    "$REPLAY" "$SCRATCH/log.img" >"$SCRATCH/entries"

    # For a cut in front of each entry: where the group behind the last flush starts, and the marks before and after.
    entries=0
    while read -r i flags _ _ mark; do
        group[i]=$last before[i]=$from
        entries=$((i + 1))
        [[ $flags == *flush* ]] && last=$((i + 1))
        [[ $mark == m[0-9]* ]] && from=${mark#m}
    done <"$SCRATCH/entries"
    from=$((CUTS + 1))
    while read -r i _ _ _ mark; do
        [[ $mark == m[0-9]* ]] && from=${mark#m}
        after[i]=$from
    done < <(tac "$SCRATCH/entries")
    note "one log: $entries entries, $(grep -c flush "$SCRATCH/entries") flushes"
    ((entries > 10 * CUTS)) || fail "too little happened: $entries entries for $CUTS cuts"

    # The start of the daemon is looked at more closely: the first mark is set when the state file is complete.
    RANDOM=$SEED
    mapfile -t points < <(
        for ((i = 0; i < CUTS; i++)); do echo $(((RANDOM << 15 | RANDOM) % entries)); done
        i=$(entry_of "$SCRATCH/entries" 0)
        for ((j = 0; j < CUTS / 5; j++)); do echo $((RANDOM % i)); done
    )
    mapfile -t points < <(printf '%s\n' "${points[@]}" | sort -n)
    for cut in "${points[@]}"; do
        "$REPLAY" "$SCRATCH/log.img" "$applied" "${group[cut]}" "$SCRATCH/both.img"
        applied=${group[cut]}
        cp --sparse=always "$SCRATCH/both.img" "$SCRATCH/cut.img"
        "$REPLAY" "$SCRATCH/log.img" "$applied" "$cut" "$SCRATCH/cut.img" $((SEED + cut))
        judge "$SCRATCH/cut.img --sizelimit $part" "$SCRATCH/cut.img --offset $part --sizelimit $state" \
            "${before[cut]}" "${after[cut]}"
    done
    note "one log: ${#points[@]} cuts, all that was flushed is there"
}

# --- two logs ------------------------------------------------------------------------------

two_logs() {
    local name mark end
    local -A applied=([part]=0 [state]=0)
    for name in part state; do
        cp "$SCRATCH/$name.img" "$SCRATCH/$name-run.img"
        cp "$SCRATCH/$name.img" "$SCRATCH/$name-cut.img"
        rm -f "$SCRATCH/$name-log.img"
        truncate -s 2G "$SCRATCH/$name-log.img"
    done
    guest 2 "$SCRATCH/part-run.img" "$SCRATCH/part-log.img" "$SCRATCH/state-run.img" "$SCRATCH/state-log.img"
    for name in part state; do "$REPLAY" "$SCRATCH/$name-log.img" >"$SCRATCH/$name-entries"; done
    for ((mark = 0; mark <= CUTS; mark++)); do
        for name in part state; do
            end=$(entry_of "$SCRATCH/$name-entries" "$mark")
            [[ $end =~ ^[0-9]+$ ]] || fail "the log of $name has no mark $mark"
            "$REPLAY" "$SCRATCH/$name-log.img" "${applied[$name]}" "$end" "$SCRATCH/$name-cut.img"
            applied[$name]=$end
            cp --sparse=always "$SCRATCH/$name-cut.img" "$SCRATCH/$name-now.img"
        done
        judge "$SCRATCH/part-now.img" "$SCRATCH/state-now.img" "$mark" "$mark"
    done
    note "two logs: $((CUTS + 1)) cuts, all that was flushed is there"
}

one_log
two_logs
