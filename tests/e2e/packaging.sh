#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What "make install" puts beside the programs works: the systemd unit starts, tells, stops and clears up after a crash; the
# completions offer what --help has; the lines for fstab mount.
# test: timeout=120 asan=no
. "$(dirname "$0")/lib.sh"
need make python3 findmnt

root=$SCRATCH/root
make -s -C "$BUILD" install DESTDIR="$root" >"$SCRATCH/make.log" 2>&1 || {
    tail "$SCRATCH/make.log"
    fail "make install"
}
installed() { # PATTERN: the one file of that name
    local found
    mapfile -t found < <(find "$root" -type f -path "$1")
    expect_equal "files $1" "${#found[@]}" 1
    echo "${found[0]}"
}
unit=$(installed '*/systemd/system/vhdxfs@.service')
for file in '*/completions/vhdxfs' '*/completions/vhdxgen' '*/samba/vhdxfs.conf' '*/systemd/fstab.example' \
    '*/systemd/srv-wsl.mount' '*/windows/Import-VhdxfsDistro.ps1'; do
    installed "$file" >/dev/null
done

new_ext4 64M
disk=$LOOP
new_dir export
export_dir=$DIR

note "the unit: what it runs"
# line NAME: the unit's command, with systemd's $$ and variables done as systemd does them.
line() {
    sed -n "s/^$1=-\?//p" "$unit" | sed -e 's/\$\$/$/g' -e "s|\${MOUNTPOINT}|$export_dir|; s|\${SOURCE}|UUID=$uuid|; s|\${OPTIONS}|$options|"
}
uuid=$(blkid -po value -s UUID "$disk") options="allow_other,state=$STATE"
program=$(line ExecStart)
program=$root${program%% *}
[[ -x $program ]] || fail "ExecStart names $program, which is not installed"
! grep -E '^(ProtectSystem|ProtectHome|PrivateTmp|PrivateMounts|PrivateDevices|ReadWritePaths|BindPaths|MountFlags)' "$unit" ||
    fail "the service would get a mount namespace of its own"
if command -v systemd-analyze >/dev/null; then
    # With the path of the program as it is here; what it says about other units does not matter.
    mkdir "$SCRATCH/units"
    sed "s|^ExecStart=[^ ]*|ExecStart=$program|" "$unit" >"$SCRATCH/units/vhdxfs@.service"
    cp "$SRC/dist/systemd/srv-wsl.mount" "$SCRATCH/units"
    cp "$SCRATCH/units/vhdxfs@.service" "$SCRATCH/units/vhdxfs@wsl.service"
    systemd-analyze verify --man=no "$SCRATCH/units/vhdxfs@wsl.service" "$SCRATCH/units/srv-wsl.mount" >"$SCRATCH/verify" 2>&1 || true
    ! grep -E 'vhdxfs|srv-wsl' "$SCRATCH/verify" || fail "systemd-analyze is not content"
fi

note "started as the unit does it: it tells when it serves, and stops on SIGTERM"
start_unit() {
    python3 - "$SCRATCH/notify" "$SCRATCH/ready" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(30)
message = s.recv(4096)
open(sys.argv[2], "wb").write(message)
END
    wait_until 10 test -S "$SCRATCH/notify" || fail "no socket"
    # shellcheck disable=SC2046 # systemd splits into words as well
    NOTIFY_SOCKET=$SCRATCH/notify setpriv --no-new-privs "$program" $(line ExecStart | cut -d ' ' -f 2-) 2>>"$SCRATCH/unit.log" &
    SERVICE=$!
    defer kill_serving "$SERVICE" "$export_dir"
    wait_until 20 test -s "$SCRATCH/ready" || {
        cat "$SCRATCH/unit.log"
        fail "no word to systemd"
    }
    expect_equal "what systemd is told" "$(<"$SCRATCH/ready")" READY=1
    mountpoint -q "$export_dir" || fail "it tells, and does not serve"
    rm "$SCRATCH/notify" "$SCRATCH/ready"
}
start_unit
head -c 8 "$export_dir/ext4.vhdx" | same_bytes - <(printf vhdxfile)
kill -TERM "$SERVICE"
wait "$SERVICE" || fail "stopped with exit code $?"
unmounted "$export_dir" || fail "stopped, and mounted still"

note "after a crash its last command removes the dead mount, and no other"
stop_post() { bash -c "$(line ExecStopPost)"; }
start_unit
kill -KILL "$SERVICE"
wait_until 10 dead "$SERVICE"
expect_fail any 'not connected|connection abort' ls "$export_dir"
stop_post
unmounted "$export_dir" || fail "the dead mount is still there"
mount -t tmpfs under "$export_dir"
stop_post || true
mountpoint -q "$export_dir" || fail "it unmounted what is not vhdxfs's"
umount "$export_dir"
start_unit
kill -TERM "$SERVICE"
wait "$SERVICE"

note "the line for fstab"
options=$(sed -n '/^UUID/s/.*fuse.vhdxfs *\([^ ]*\).*/\1/p' "$SRC/dist/systemd/fstab.example")
automount=$(sed -n '/^#UUID/s/.*fuse.vhdxfs *\([^ ]*\).*/\1/p' "$SRC/dist/systemd/fstab.example")
# mount(8) gives its helpers no PATH: the installed program has to be in one of the usual places, here in this namespace only.
mkdir -p /usr/local/sbin
mount_at sbin /usr/local/sbin -t tmpfs
ln -s "$program" /usr/local/sbin/vhdxfs
for line in "$options" "$automount"; do
    echo "UUID=$uuid $export_dir fuse.vhdxfs $line,state=$STATE 0 0" >"$SCRATCH/fstab"
    mount --fstab "$SCRATCH/fstab" "$export_dir" || fail "mount refuses $line"
    expect_equal "the owner" "$(stat -c %u "$export_dir/ext4.vhdx")" 1000
    umount "$export_dir"
    # Its process ends a moment later.
    no_daemon() { ! grep -qxs vhdxfs /proc/[0-9]*/comm; }
    wait_until 10 no_daemon || fail "it was unmounted, and vhdxfs still runs"
done
umount /usr/local/sbin

note "completions"
# offers FUNCTION LINE [PROGRAM]: what is offered at its end, one a line. In a shell as a user has it, without this one's traps.
offers() {
    # shellcheck disable=SC2016 # expands inside
    "$BASH" --norc -c '. "$1/dist/completions/${2#_}"; COMP_LINE=$3 COMP_POINT=${#3}; "$2" "$4"; printf "%s\n" "${COMPREPLY[@]}"' \
        offers "$SRC" "$1" "$2" "${3-$program}" 2>&1 | sort
}
# Every option that --help has is offered, and nothing else.
help_options() { grep -oE -- '^ +(-[a-zA-Z], +)?--[a-z-]+=?' | grep -oE -- '--[a-z-]+=?' | sort -u; }
diff <("$program" --help | help_options) <(offers _vhdxfs 'vhdxfs --') || fail "vhdxfs: <: --help has it, >: it is offered"
mount_options() { sed -n '/^Mount options:/,$p' | grep '^  [a-z]' | sed 's/^  //; s/   .*//; s/=[^,]*/=/g; s/, /\n/g' | sort -u; }
diff <("$program" --help | mount_options) <(offers _vhdxfs 'vhdxfs -o ') ||
    fail "vhdxfs -o: <: --help has it, >: it is offered"
for command in check info replay create dump map; do
    diff <("$VHDXGEN" $command --help | help_options) <(offers _vhdxgen "vhdxgen $command --") ||
        fail "vhdxgen $command: <: --help has it, >: it is offered"
done
expect_equal "the second option of a list" "$(offers _vhdxfs 'vhdxfs -o ro,cl')" ro,claim=
expect_equal "a value in a list" "$(offers _vhdxfs 'vhdxfs -o ro,claim=m')" mount
expect_equal "both values" "$(offers _vhdxfs 'vhdxfs -o claim=')" $'mount\nopen'
expect_equal "a size" "$(offers _vhdxfs 'vhdxfs --block-size=25')" 256M
for option in '-o state=' '-o ro,cow=' --pidfile=; do
    expect_equal "a file behind $option" "$(offers _vhdxfs "vhdxfs $option$SRC/COPY")" "$SRC/COPYING"
done
expect_equal "behind what is obsolete" "$(offers _vhdxfs 'vhdxfs -o io')" ""
# shellcheck disable=SC2088 # the shell that completes has not expanded it either
expect_equal "below ~" "$(HOME=${program%/*} offers _vhdxfs '~/vhdxfs -o nod' '~/vhdxfs')" nodiscard
expect_equal "without the program" "$(offers _vhdxfs 'vhdxfs -o ' /nonexistent/vhdxfs)$(offers _vhdxfs 'vhdxfs -' /etc/passwd)" ""
# shellcheck disable=SC2016 # that is the point
expect_equal "behind what has been typed" "$(offers _vhdxfs 'vhdxfs -o name=$(date),nod')" '$(date),nodiscard'
expect_equal "a command" "$(offers _vhdxgen 'vhdxgen rep')" replay
expect_equal "a value" "$(offers _vhdxgen 'vhdxgen info --output=j')" json
expect_equal "a region" "$(offers _vhdxgen 'vhdxgen dump file.vhdx me')" metadata
expect_equal "a file" "$(offers _vhdxgen "vhdxgen check $SRC/COPY")" "$SRC/COPYING"
expect_equal "tags" "$(offers _vhdxfs 'vhdxfs PART')" $'PARTLABEL=\nPARTUUID='
fsck_clean "$disk"
