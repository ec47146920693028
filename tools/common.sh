# Sourced by the scripts of this folder: the few things that they share.
# shellcheck shell=bash disable=SC2034

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# where everything that is built goes; BUILD= moves it, as for a checkout
# that this user cannot write to
build=${BUILD:-$top/build}
case $build in /*) ;; *) build=$top/$build ;; esac

me=${0##*/}

say() {
    printf '%s: %s\n' "$me" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# root runs the command as it is, others through sudo
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root, and there is no sudo: run as root: $*"
    fi
}

# the URI of the Debian mirror that this machine itself is set to, whether
# it is written in sources.list or in a deb822 file
debian_mirror() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
          'Origin: Debian' 'Label: Debian' 2>/dev/null \
          | grep -E '^(https?|ftp|file|copy|tor\+https?|mirror\+[a-z]+):' \
          | head -n 1)
    [ -n "$uri" ] || return 1
    printf '%s\n' "$uri"
}

# the keyring that signs Debian's archive
debian_keyring() {
    local f
    for f in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [ -r "$f" ]; then
            printf '%s\n' "$f"
            return 0
        fi
    done
    return 1
}

# Sets apt_opts: options that make apt-get and apt-cache use the sources in
# the file $1/sources.list alone and keep all state under $1, which need not
# be root's, so that the machine's own apt is not touched.
private_apt() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    apt_opts=(-q -o "Dir::Etc::SourceList=$1/sources.list"
              -o Dir::Etc::SourceParts=/dev/null
              -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1/cache"
              -o Acquire::Languages=none -o APT::Sandbox::User=root)
}

# prints, one a line, those arguments that the nginx binary $1 was
# configured with that say what is in it: not compiler, libraries, modules
nginx_flags() {
    local args=() a
    eval "args=($("$1" -V 2>&1 | sed -n 's/^configure arguments: //p'))"
    for a in "${args[@]}"; do
        case $a in
        --add-module=* | --add-dynamic-module=* | --with-cc-opt=* \
        | --with-ld-opt=* | --with-cc=* | --builddir=* | --build=* \
        | *=dynamic | --with-openssl=* | --with-pcre=* | --with-zlib=* \
        | --with-openssl-opt=* | --with-pcre-opt=* | --with-zlib-opt=*) ;;
        *) printf '%s\n' "$a" ;;
        esac
    done
}
