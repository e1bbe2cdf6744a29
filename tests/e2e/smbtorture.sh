#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Samba's own tests of its server have the same results on a served partition's directory and on a plain ext4, but for the
# differences that tests/samba-differences lists and explains.
# test: timeout=900 quick=no asan=no
. "$(dirname "$0")/../samba/lib.sh"
need smbtorture
DIFFERENCES=$SRC/tests/samba-differences

# Lanes run side by side, for most tests wait most of the time; each has an export and a plain directory of its own. The
# tests of "in/DIRECTORY" make that directory first, which an export does not let them: there the export is mounted on it.
lanes=(
    "smb2.ioctl"
    "smb2.rw smb2.read smb2.sharemode smb2.create.multi smb2.create.delete smb2.create.leading-slash smb2.getinfo smb2.compound
     smb2.openattr smb2.sdread in/testlock smb2.lock"
    "smb2.durable-open smb2.durable-v2-open smb2.durable-open-disconnect"
    "smb2.lease.request smb2.lease.nobreakself smb2.lease.statopen2 smb2.lease.upgrade smb2.lease.upgrade2 smb2.lease.upgrade3
     smb2.lease.unlink"
    "smb2.lease.lock1 smb2.lease.v2_request smb2.lease.v2_epoch1 smb2.lease.v2_epoch2 smb2.lease.duplicate_create
     smb2.lease.duplicate_open"
    "in/oplock_test smb2.oplock.exclusive2 smb2.oplock.exclusive3 smb2.oplock.exclusive4 smb2.oplock.exclusive5
     smb2.oplock.batch3 smb2.oplock.batch4 smb2.oplock.batch5"
    "in/oplock_test smb2.oplock.batch7 smb2.oplock.batch8 smb2.oplock.batch13 smb2.oplock.batch14 smb2.oplock.brl1
     smb2.oplock.statopen1"
)
# SMBTORTURE=long: all tests of leases and oplocks, with waits of up to 35 s each; five minutes.
if [[ ${SMBTORTURE-} == long ]]; then
    lanes[3]=smb2.lease lanes[4]="in/test_rename smb2.rename"
    lanes[5]="in/oplock_test smb2.oplock" lanes[6]="smb2.durable-v2-delay smb2.fileid.fileid"
fi

mount_plain() {
    new_ext4 512M
    new_dir plain
    plain=$DIR
    mount_at "$LOOP" "$plain"
}

# lane NUMBER: its daemon and its shares export-N, under-N and plain-N.
new_lane() {
    local i=$1 directory shown
    new_ext4 64M
    lane_disk[i]=$LOOP
    new_dir export
    shown=$DIR
    lane_export[i]=$shown
    serve -o "$SMB_OPTIONS" "$LOOP" "$shown"
    lane_pid[i]=$SERVE_PID
    mkdir "$plain/$i" "$SCRATCH/under-$i"
    for directory in testlock oplock_test test_rename; do
        mkdir "$SCRATCH/under-$i/$directory"
        mount_at "$shown" "$SCRATCH/under-$i/$directory" --bind
    done
    chown -R "$SMB_UID:$SMB_GID" "$plain/$i" "$SCRATCH/under-$i"
    samba_share "export-$i" "$shown"
    samba_share "under-$i" "$SCRATCH/under-$i"
    samba_share "plain-$i" "$plain/$i"
}

# What tests leave must not take the few places beside the VHDX from the next.
clear_lane() { find "${lane_export[$1]}" -mindepth 1 ! -name ext4.vhdx -delete; }

# torture SHARE TEST: prints "test result" for each part, by the names that "smbtorture --list" has.
torture() {
    local log=$SCRATCH/log.$1.$2 prefix=$2 rc=0
    # Some tests make a directory where they are started, and leave it.
    (cd "$SCRATCH" && exec timeout 600 smbtorture -s "$SMB/smb.conf" -U "$SMB_USER%$SMB_PASSWORD" "//127.0.0.1/$1" "$2") >"$log" 2>&1 || rc=$?
    ((rc <= 1)) || echo "$2 exit-code-$rc"
    # Of a single test it prints the last part of the name only, of a suite what is behind the suite's.
    sed -nE 's/^(success|failure|error|skip): (.*)/\1 \2/; T; s/ \[$//; s/([^ ]*) (.*)/\2 \1/; :a; s/ (.* )/_\1/; ta; p' "$log" | while read -r name result; do
        if [[ $prefix == *.*".$name" ]]; then
            echo "$prefix $result"
        else
            echo "$prefix.$name $result"
        fi
    done
}

run_lane() { # NUMBER export|plain
    local i=$1 kind=$2 share=$2-$1 word
    for word in ${lanes[i]}; do
        if [[ $word == in/* ]]; then
            [[ $kind == plain ]] || share=under-$i
            continue
        fi
        [[ $kind == plain ]] || clear_lane "$i"
        torture "$share" "$word"
    done
}

mount_plain
lane_disk=() lane_export=() lane_pid=()
for i in "${!lanes[@]}"; do new_lane "$i"; done
samba_start
jobs=()
for i in "${!lanes[@]}"; do
    for kind in export plain; do
        run_lane "$i" $kind >"$SCRATCH/results.$kind.$i" &
        jobs+=($!)
    done
done
for job in "${jobs[@]}"; do wait "$job"; done
for kind in export plain; do sort "$SCRATCH"/results.$kind.* >"$SCRATCH/$kind"; done

awk '/^ *smb2\./ { print $1, $2, $3 }' "$DIFFERENCES" | sort >"$SCRATCH/listed"
awk '/^ *smb2\./ && $4 == "sometimes" { print $1, $2, $3 }' "$DIFFERENCES" | sort >"$SCRATCH/sometimes"

# Writes what differs to "found", what should to "expected", and what is in one of them only to "diff".
compare() {
    # A crash of a client that has no result is a difference too.
    join -a 1 -a 2 -e none -o 0,1.2,2.2 "$SCRATCH/plain" "$SCRATCH/export" >"$SCRATCH/joined"
    awk '$2 != $3' "$SCRATCH/joined" >"$SCRATCH/found"
    # Of what is listed, what was run this time; and of what comes "sometimes", what came.
    join "$SCRATCH/listed" <(cut -d ' ' -f 1 "$SCRATCH/joined") | grep -vxFf <(comm -23 "$SCRATCH/sometimes" "$SCRATCH/found") \
        >"$SCRATCH/expected"
    diff "$SCRATCH/expected" "$SCRATCH/found" >"$SCRATCH/diff"
}

# Runs what is in "diff" again, with the machine for itself: many of these tests measure time, and a busy machine fails them.
again() {
    local i word share kind result names
    names=$(awk '/^[<>]/ { print $2 }' "$SCRATCH/diff" | sort -u)
    note "once more, one at a time:" $names
    for i in "${!lanes[@]}"; do
        share=export-$i
        for word in ${lanes[i]}; do
            [[ $word != in/* ]] || share=under-$i
            grep -qE "^${word//./\\.}(\.|\$)" <<<"$names" || continue
            clear_lane "$i"
            torture "$share" "$word" >"$SCRATCH/again.export"
            torture "plain-$i" "$word" >"$SCRATCH/again.plain"
            for kind in export plain; do
                result=$(sort "$SCRATCH/again.$kind" <(grep -vE "^${word//./\\.}(\.[^ ]*)? " "$SCRATCH/$kind"))
                echo "$result" >"$SCRATCH/$kind"
            done
        done
    done
}

compare || again
samba_stop
note "$(wc -l <"$SCRATCH/joined") tests; on the plain directory: $(cut -d ' ' -f 2 "$SCRATCH/joined" | sort | uniq -c | xargs)," \
    "on the export: $(cut -d ' ' -f 3 "$SCRATCH/joined" | sort | uniq -c | xargs)"
(($(grep -c ' success success$' "$SCRATCH/joined") > 80)) || fail "too few tests could be run"
if ! compare; then
    version=$(smbd --version)
    if [[ $version != 'Version 4.17.'* ]]; then
        cat "$SCRATCH/diff"
        skip "tests/samba-differences was recorded with Samba 4.17, and this is $version, with other results"
    fi
    while read -r _ name _; do
        for log in "$SCRATCH"/log.{export,under}-*."${name%.*}" "$SCRATCH"/log.{export,under}-*."$name"; do
            [[ -e $log ]] && grep -A 3 -E "^(failure|error): ${name##*.} " "$log"
        done
    done < <(grep '^[<>]' "$SCRATCH/diff") || true
    cat "$SCRATCH/diff"
    fail "other differences than listed in tests/samba-differences (<: listed, >: found; on the plain directory, on the export)"
fi
note "differences: $(wc -l <"$SCRATCH/found"), all of them listed"

for i in "${!lanes[@]}"; do
    for directory in testlock oplock_test test_rename; do umount "$SCRATCH/under-$i/$directory"; done
    stop_serving "${lane_pid[i]}" "${lane_export[i]}"
    fsck_clean "${lane_disk[i]}"
done
