# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `kernel`, `rootfs` and ../s390x share: the cache, and the Debian archives that this machine's own apt knows. To be
# read in by a script that has set `wanted` to a name for what it makes.
set -euo pipefail

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

# The keyring that FILE (either format of apt's sources) names; nothing where apt's own trust is enough.
keyring_of() {
    sed -nE 's/^[Ss]igned-[Bb]y: *(\/[^ ]+).*/\1/p; s/.*\[.*signed-by=(\/[^] ]+).*/\1/p' "$1" | head -n1
}

# The Debian archives of this machine, one "URI suite codename keyring" each; the keyring may be missing.
debian_archives() {
    local uri suite codename entry
    # shellcheck disable=SC2016 # the variables are apt's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(SOURCESENTRY)' \
        'Identifier: Packages' 'Component: main' 'Origin: Debian' 2>/dev/null | sort -u |
        while read -r uri suite codename entry; do
            echo "$uri $suite $codename $(keyring_of "${entry%:*}")"
        done
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
