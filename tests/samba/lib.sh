# shellcheck shell=bash disable=SC2034 # the variables are for the scripts
# SPDX-License-Identifier: GPL-2.0-or-later
# For tests with a real smbd: sourced instead of ../e2e/lib.sh, which it brings along. The script runs in a network
# namespace of its own, in which 127.0.0.1 has the usual port and no one else can reach it.
if [[ -z ${SAMBA_NETWORK-} ]]; then
    for program in unshare ip; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || {
            echo "$program is not installed"
            exit 77
        }
    done
    SAMBA_NETWORK=1 exec unshare --net -- "$BASH" "$0" "$@"
fi
. "${BASH_SOURCE[0]%/*}/../e2e/lib.sh"
need smbd smbclient smbpasswd smbcacls testparm ip
ip link set lo up

SMB=$SCRATCH/smb
SMB_USER=nobody # a user that every system has; its password is in this smbd only
SMB_PASSWORD=secret
SMB_UID=$(id -u $SMB_USER) SMB_GID=$(id -g $SMB_USER)
SMB_OPTIONS=allow_other,uid=$SMB_UID,gid=$SMB_GID
mkdir -p "$SMB"/{private,lock,state,cache,run,ncalrpc,log}

# Debian's impacket, whatever other Python comes first in PATH.
samba_python() {
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import impacket.smb3' 2>/dev/null; then
            "$python" -B "$@"
            return
        fi
    done
    skip "python3-impacket is not installed"
}

# samba_share NAME DIRECTORY [OPTION VALUE]: adds the share of dist/samba/vhdxfs.conf under that name, or with one
# option that is not the one in it.
samba_share() {
    local edits=(-e "s|^\[wsl\]|[$1]|" -e "s|^\( *path =\).*|\1 $2|" -e "s|^\( *valid users =\).*|\1 $SMB_USER|")
    if (($# > 2)); then
        edits+=(-e "s|^\( *$3 =\).*|\1 $4|")
    fi
    sed -n '/^\[wsl\]/,$p' "$SRC/dist/samba/vhdxfs.conf" | sed "${edits[@]}" >>"$SMB/shares.conf"
}

# What a system's smb.conf has, with everything below SCRATCH; then our file.
samba_configure() {
    cat >"$SMB/smb.conf" <<END
[global]
    workgroup = WORKGROUP
    netbios name = VHDXFS
    server role = standalone server
    private dir = $SMB/private
    lock directory = $SMB/lock
    state directory = $SMB/state
    cache directory = $SMB/cache
    pid directory = $SMB/run
    ncalrpc dir = $SMB/ncalrpc
    log file = $SMB/log/%m
    log level = 1
    bind interfaces only = yes
    interfaces = lo
    disable netbios = yes
    load printers = no
    printing = bsd
    printcap name = /dev/null
    disable spoolss = yes
    rpc start on demand helpers = no
    include = $SMB/vhdxfs.conf
    include = $SMB/shares.conf
END
    sed '/^\[wsl\]/,$d' "$SRC/dist/samba/vhdxfs.conf" >"$SMB/vhdxfs.conf"
    testparm -s "$SMB/smb.conf" >"$SMB/testparm" 2>"$SMB/testparm.errors" || fail "testparm: $(<"$SMB/testparm.errors")"
    ! grep -i 'unknown\|ignoring\|invalid\|deprecated' "$SMB/testparm.errors" || fail "testparm does not understand the share"
    printf '%s\n' $SMB_PASSWORD $SMB_PASSWORD | smbpasswd -c "$SMB/smb.conf" -s -a $SMB_USER >/dev/null 2>&1
    printf '%s\n' "username = $SMB_USER" "password = $SMB_PASSWORD" "domain = WORKGROUP" >"$SMB/auth"
}

smbd_answers() { : </dev/tcp/127.0.0.1/445; }
smbd_settled() { dead "$SMBD" || smbd_answers; }

# Starts smbd, or starts it again; its process id in SMBD.
# It makes a process group of its own, and signals that when it ends.
samba_start() {
    [[ -e $SMB/smb.conf ]] || samba_configure
    smbd --foreground --configfile="$SMB/smb.conf" --debug-stdout >>"$SMB/smbd.log" 2>&1 &
    SMBD=$!
    defer samba_end "$SMBD"
    wait_until "$DEADLINE" smbd_settled || fail "smbd does not answer"
    alive "$SMBD" || {
        tail -n 20 "$SMB/smbd.log"
        fail "smbd ended"
    }
}


samba_end() {
    local pid=$1
    alive "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null
    wait_until 20 dead "$pid" || kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    return 0
}

samba_stop() {
    samba_end "$SMBD"
    # The processes of single connections end a moment later, and only then is the VHDX closed.
    wait_until 20 no_smbd || fail "processes of smbd are left"
}
no_smbd() { ! grep -qxs 'smbd.*' /proc/[0-9]*/comm; }

# smb COMMANDS [SHARE]: smbclient
smb() { smbclient -s "$SMB/smb.conf" -A "$SMB/auth" -m SMB3 "//127.0.0.1/${2-wsl}" -c "$1" 2>&1; }
# smbacl FILE [options]
smbacl() { smbcacls -s "$SMB/smb.conf" -A "$SMB/auth" -m SMB3 //127.0.0.1/wsl "$@" 2>&1; }
