#!/bin/sh
# Installs the Debian packages that the tests on real parts use, where it may (as root, or by a sudo
# that asks nothing). Where it may not, it says what will be skipped and succeeds all the same.
#
#   setup-system.sh [PACKAGE…]        default: everything that tests and benchmark use
#   LAYERPROOF_SYSTEM_SETUP=0         install nothing
#
# A package counts as present when its program is there, wherever that came from. No service is
# started: the tests start their own, on sockets of their own.
set -eu

PATH=$PATH:/usr/sbin:/sbin

# program:package:what is skipped without it
parts='
mmdebstrap:mmdebstrap:images made from Debian packages
umoci:umoci:images packed by umoci
skopeo:skopeo:registry and archive round trips
docker-registry:docker-registry:a real registry
htpasswd:apache2-utils:a registry with passwords
dockerd:docker.io:a real Docker Engine
npm:npm:images with Node packages
bsdtar:libarchive-tools:comparison with bsdtar
zstd:zstd:layers compressed by zstd
podman:podman:comparison with podman
etcd:etcd-server:the Kubernetes gate
faketime:faketime:a clock that jumps
pg_ctlcluster:postgresql:the index on PostgreSQL
rpmbuild:rpm:databases that rpm wrote
wrk:wrk:the load of the benchmarks
db5.3_load:db5.3-util:databases that Berkeley DB wrote
'

missing=
lost=
if [ $# -gt 0 ]; then
    missing=$*
    lost="what needs $*"
else
    IFS='
'
    for part in $parts; do
        program=${part%%:*}
        rest=${part#*:}
        if ! command -v "$program" >/dev/null 2>&1; then
            missing="$missing ${rest%%:*}"
            lost="$lost
  - ${rest#*:} ($program)"
        fi
    done
    unset IFS
fi
[ -n "$missing" ] || exit 0

skip() {
    echo "Not installed, since $1:$missing. Skipped without them: $lost" >&2
    exit 0
}

[ "${LAYERPROOF_SYSTEM_SETUP:-1}" != 0 ] || skip "LAYERPROOF_SYSTEM_SETUP is 0"
command -v apt-get >/dev/null 2>&1 || skip "this system has no apt-get"

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    skip "that needs root"
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
mine=
finish() {
    [ -z "$mine" ] || $as_root rm -f "$policy"
    rm -f "$log"
}
trap finish EXIT
trap 'exit 1' INT TERM

if [ ! -e "$policy" ]; then
    mine=1
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" \
        >>"$log" 2>&1
}

echo "Installing$missing"
# shellcheck disable=SC2086  because the packages are a list of words
if { apt update || true; } && apt install --no-install-recommends $missing; then
    exit 0
fi
# One at a time: a distribution that lacks one of them still has the others.
for package in $missing; do
    apt install --no-install-recommends "$package" ||
        echo "Could not install $package: $(tail -n 1 "$log")" >&2
done
