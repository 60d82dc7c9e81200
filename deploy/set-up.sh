#!/bin/sh
# Makes what compose.yaml needs and Git must not have: passwords and tokens, in secrets/. What is
# there already stays. Needs docker and its compose plugin.
#
#   set-up.sh                  everything
#   set-up.sh account NAME     an account of the registry; its password is printed once
set -eu
cd "$(dirname "$0")"

random() {
    head -c 24 /dev/urandom | base64 | tr '+/' '-_'
}

# A line of htpasswd with bcrypt, which is all that the registry takes. The password is read from
# standard input, so that no list of processes shows it.
entry() {
    docker run --rm --interactive --network none --entrypoint htpasswd \
        docker.io/library/httpd:2.4 -niB -C 10 "$1" |
        grep .
}

account() {
    if grep -q "^$1:" secrets/registry.htpasswd 2>/dev/null; then
        echo "there is an account $1 already" >&2
        return 1
    fi
    password=$(random)
    line=$(printf '%s\n' "$password" | entry "$1")
    printf '%s\n' "$line" >>secrets/registry.htpasswd
}

# The folder is closed to others. The files are not: users in containers have other numbers.
umask 022
mkdir -p secrets
chmod 700 secrets

if [ "${1:-}" = account ]; then
    case ${2:-} in
        '' | *[!a-z0-9._-]*)
            echo "an account's name has a-z, 0-9, dots, dashes and underscores: $0 account NAME" >&2
            exit 2
            ;;
    esac
    account "$2"
    printf '%s\n' "$password"
    exit 0
fi

if [ ! -s secrets/postgres_password ]; then
    random >secrets/postgres_password
fi
printf '[layerproof]\npassword=%s\n' "$(cat secrets/postgres_password)" >secrets/pg_service.conf

if [ ! -s secrets/config.json ]; then
    account layerproof
    printf '{"auths": {"registry:5000": {"auth": "%s"}}}\n' \
        "$(printf 'layerproof:%s' "$password" | base64 | tr -d '\n')" >secrets/config.json
fi

if [ -s secrets/registry.yaml ]; then
    token=$(sed -n 's/.*\[Bearer \(.*\)\]/\1/p' secrets/registry.yaml)
else
    docker compose up --detach --wait postgres
    token=$(docker compose run --rm --no-TTY service \
        token create --name registry --role notifier --registry registry:5000 --days 365 --quiet)
fi
[ -n "$token" ] || { echo "there is no token for the registry" >&2; exit 1; }
text=$(cat registry.yaml)
printf '%s\n' "${text%%NOTIFIER-TOKEN*}$token${text#*NOTIFIER-TOKEN}" >secrets/registry.yaml.new
mv secrets/registry.yaml.new secrets/registry.yaml

echo "ready: docker compose up --detach --wait"
