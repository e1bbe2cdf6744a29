# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `kernel`, `rootfs` and ../s390x share: the cache, and an apt of their own. To be read in by a script that has set
# `wanted` to a name for what it makes.
set -euo pipefail
. "${BASH_SOURCE[0]%/*}/../debian.sh"

skip() {
    echo "no ${wanted:-guest}: $*" >&2
    exit 77
}

# open_cache LOCK: sets cache and holds that lock in it. Several tests may want the same thing for the first time.
open_cache() {
    local home=/var/cache
    ((EUID == 0)) || home=$HOME/.cache
    cache=${VHDXFS_TEST_CACHE:-${XDG_CACHE_HOME:-$home}/vhdxfs-tests}
    mkdir -p "$cache" || skip "cannot write to $cache"
    exec 9>"$cache/$1"
    flock 9
}

# private_apt DIR [OPTION...]: sets apt_options, with which apt-get and apt-cache use the sources.list on standard input and
# keep everything in DIR, and asks for the lists. This machine's own lists and packages stay as they are.
private_apt() {
    local dir=$1
    shift
    mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
    cat >"$dir/sources.list"
    [[ -s $dir/sources.list ]] ||
        skip "apt knows no Debian archive with a release file here (apt-get update may help)"
    : >"$dir/status"
    apt_options=(-q -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache"
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none "$@")
    # What one archive does not give another may, or an earlier call has got.
    apt-get "${apt_options[@]}" -o APT::Update::Error-Mode=any update >"$dir/log" 2>&1 ||
        compgen -G "$dir/state/lists/*_Packages*" >/dev/null ||
        skip "apt-get update failed: $(grep -m1 '^E:' "$dir/log" || tail -n1 "$dir/log")"
}
