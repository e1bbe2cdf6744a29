# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The Debian archives that this machine's own apt knows, and other Debian systems made from them. To be read in.

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

# The one that has a whole release: updates, security and backports have a dash in their names.
debian_release() { debian_archives | awk '$3 !~ /-/ && !n++'; }

# debian_bootstrap SUITE DIR [debootstrap's options]: makes a minimal Debian in DIR.
debian_bootstrap() {
    local suite=$1 dir=$2 uri keyring proxy=''
    shift 2
    read -r uri _ _ keyring < <(debian_release) || {
        echo "E: apt knows no Debian archive with a release file here (apt-get update may help)" >&2
        return 1
    }
    eval "$(apt-config shell proxy Acquire::http::Proxy)" # apt-config quotes it for that
    [[ ! $proxy || $proxy == DIRECT ]] || local -x http_proxy=$proxy https_proxy=$proxy
    debootstrap --variant=minbase ${keyring:+"--keyring=$keyring"} "$@" "$suite" "$dir" "$uri"
}

# debian_apt SUITE DIR: lets apt in DIR, a Debian SUITE, have its packages from where this machine gets its own: the same
# archives with the other suite's name in place of ours, proxies, passwords and what else it takes to reach them.
debian_apt() {
    local suite=$1 etc=$2/etc/apt uri codename keyring own file ca=/etc/ssl/certs/ca-certificates.crt
    read -r _ _ own _ < <(debian_release)
    while read -r uri _ codename keyring; do
        [[ $codename == "$own" || $suite == "$own" || ($suite != sid && $own != sid) ]] || continue # sid has only itself
        [[ ! $keyring || -e $2$keyring ]] || install -D -m 644 "$keyring" "$2$keyring"
        echo "deb ${keyring:+[signed-by=$keyring] }$uri ${codename/#"$own"/"$suite"} main"
    done < <(debian_archives) >"$etc/sources.list"
    apt-config dump Acquire >"$etc/apt.conf.d/90outside"
    for file in auth.conf auth.conf.d trusted.gpg trusted.gpg.d; do
        [[ ! -e /etc/apt/$file ]] || cp -rnT "/etc/apt/$file" "$etc/$file"
    done
    eval "$(apt-config shell ca Acquire::https::CAInfo)"
    if [[ -e $ca ]]; then
        install -m 644 "$ca" "$etc/outside.crt"
        echo 'Acquire::https::CAInfo "/etc/apt/outside.crt";' >>"$etc/apt.conf.d/90outside"
    fi
    for file in resolv.conf hosts; do
        [[ ! -e /etc/$file ]] || cp -L "/etc/$file" "$2/etc/$file"
    done
}
