# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `kernel` and `rootfs` share: the cache, and the Debian archives that this machine's own apt knows. To be read in
# by a script that has set `wanted` to a name for what it makes.
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
