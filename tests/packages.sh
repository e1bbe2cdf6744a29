# shellcheck shell=bash disable=SC2034 # the lists are for those who read this in
# SPDX-License-Identifier: GPL-2.0-or-later
# What a build, the demonstration and the tests need, by the names of Debian 12 and later; for quickstart and tests/run.
# "A|B": A where the release has it, else B.

packages_build=(autoconf automake make gcc libc6-dev linux-libc-dev pkg-config uuid-dev libjson-c-dev libfuse3-dev
    libblkid-dev libext2fs-dev comerr-dev libcap-dev libseccomp-dev liburing-dev ntfs-3g-dev libdevmapper-dev)
packages_run=(fuse3 e2fsprogs mount util-linux ntfs-3g)
packages_demo=(qemu-utils libvhdi-utils)
packages_test=(libcmocka-dev valgrind qemu-utils libvhdi-utils '7zip-standalone|7zip' shellcheck ntfs-3g sleuthkit xfsprogs btrfs-progs lvm2 fdisk gdisk attr procps python3 jq file xz-utils bzip2
    fio stress-ng qemu-system-x86 busybox-static dmsetup kmod zstd clang libclang-rt-dev lcov mandoc)
# For Samba, the guests and iSCSI.
packages_test+=(samba 'samba-vfs-modules|samba' samba-testsuite smbclient python3-impacket iproute2
    debootstrap systemd-container tgt libiscsi-bin qemu-block-extra open-iscsi)
# For a big-endian machine; tests/s390x fetches the libraries.
packages_test+=(gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user)
# What the arms of bench/run measure, and what it draws with; one that is not there is skipped. The tests need none of it.
packages_bench=(fio python3 ntfs-3g qemu-system-common qemu-utils nbdkit libnbd-bin 'nbdfuse|libnbd-bin' xmount procps samba python3-samba dmsetup kmod gnuplot-nox)

# packages_missing NAME...: prints those which are not installed.
packages_missing() {
    local name
    for name; do
        if [[ $name == *'|'* && $(apt-cache policy "${name%|*}" 2>/dev/null) != *'Candidate: '[0-9]* ]]; then
            name=${name#*|}
        fi
        name=${name%|*}
        [[ $(dpkg-query -Wf '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || echo "$name"
    done
}

# packages_ensure NAME...: installs what is missing, and asks the network only then. On a system that is not Debian it
# says what is needed and goes on: configure, or the skip of a test, tells what is not there.
packages_ensure() {
    local missing log
    if ! command -v apt-get dpkg-query >/dev/null; then
        echo "This is no Debian: the following (Debian's names) must be there already: $*" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0
    echo "Installing ${missing[*]}"
    log=$(mktemp)
    packages_apt update >"$log" 2>&1 || true # one broken source must not stop the others
    mapfile -t missing < <(packages_missing "$@") # now that it is known which there are
    if packages_apt install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        rm -f "$log"
        packages_quiet "${missing[@]}"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
}

# packages_quiet NAME...: the tests need tgt's programs, not a service that listens on this machine from now on.
packages_quiet() {
    if [[ " $* " == *" tgt "* && -d /run/systemd/system ]]; then
        systemctl --quiet disable --now tgt.service || true
    fi
}

packages_apt() {
    # Offline for systemctl: what comes with a service (samba) must not start it here.
    SYSTEMD_OFFLINE=1 DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# as_owner SRC COMMAND...: under sudo, what is made in the source tree belongs to its owner, not to root.
as_owner() {
    local src=$1
    shift
    if [[ $EUID == 0 && ${SUDO_UID:-0} != 0 && $(stat -c %u "$src") == "$SUDO_UID" ]]; then
        setpriv --reuid "$SUDO_UID" --regid "${SUDO_GID:-$SUDO_UID}" --init-groups "$@"
    else
        "$@"
    fi
}

# build_vhdxfs SRC BUILD [configure's options]: configures (once) and makes, outside of the source tree; quiet when all
# is well.
build_vhdxfs() {
    local src=$1 build=$2 log
    shift 2
    if [[ -e $src/config.status ]]; then
        echo "$src was configured in place; say 'make distclean' there first" >&2
        return 1
    fi
    log=$build/build.log
    as_owner "$src" mkdir -p "$build" && as_owner "$src" touch "$log" || return
    # shellcheck disable=SC2016 # expands inside
    as_owner "$src" "$BASH" -c '
        set -e
        src=$1 build=$2
        shift 2
        if [[ ! -e $src/configure || $src/configure.ac -nt $src/configure ]]; then
            "$src/autogen.sh"
        fi
        cd "$build"
        # No options: whatever it was configured with is fine.
        if [[ ! -e Makefile || $src/configure -nt Makefile || ( "$*" && "$*" != "$(cat .configured-with)" ) ]]; then
            "$src/configure" "$@"
            echo "$*" >.configured-with
        fi
        # make builds no object again when only its flags have changed.
        make Makefile config.h
        if [[ "$(sha256sum Makefile config.h)" != "$(cat .built-from)" ]]; then
            make clean
            sha256sum Makefile config.h >.built-from
        fi
        make -j"$(nproc)"
    ' build "$src" "$build" "$@" >"$log" 2>&1 </dev/null && return 0
    tail -n 40 "$log" >&2
    echo "The build failed; its whole output is in $log" >&2
    return 1
}
