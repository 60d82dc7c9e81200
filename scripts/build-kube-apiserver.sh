#!/bin/sh
# Builds the kube-apiserver that `make e2e-kubernetes` tests against, from its Go modules.
#
#   build-kube-apiserver.sh [FOLDER]     default: .cache/kubernetes; prints the program's path
#
# A first build takes some ten minutes on two cores and 3 GB of Go's cache; a second prints the path.
# Where Go is missing or the modules are out of reach it says so and fails with 2.
set -eu

version=${KUBERNETES_VERSION:-1.34.3}
minor=${version#*.}
folder=${1:-.cache/kubernetes}
program=$folder/kube-apiserver-$version

if [ -x "$program" ]; then
    echo "$program"
    exit 0
fi
command -v go >/dev/null 2>&1 || { echo "Go is not installed" >&2; exit 2; }

mkdir -p "$folder"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

go mod download "k8s.io/kubernetes@v$version" ||
    { echo "the Go modules of Kubernetes $version are out of reach" >&2; exit 2; }
source=$(go env GOMODCACHE)/k8s.io/kubernetes@v$version

# Kubernetes replaces its own libraries by folders of its repository, which its module lacks; they
# are published as modules of the same minor version.
{
    echo "module layerproof.test/kubernetes"
    grep '^go ' "$source/go.mod"
    echo "require k8s.io/kubernetes v$version"
    echo "replace ("
    sed -n 's|^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging/.*|\1|p' "$source/go.mod" |
        while read -r module; do echo "    $module => $module v0.$minor"; done
    echo ")"
} >"$work/go.mod"

(cd "$work" && nice go build -mod=mod -p 2 -trimpath \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" \
    -o kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver) >&2 ||
    { echo "kube-apiserver $version could not be built" >&2; exit 2; }
mv "$work/kube-apiserver" "$program"
echo "$program"
