#!/bin/sh
# Makes the secrets that docker-compose.yml asks for, as files in deploy/secrets. What is there already stays as it is,
# so it may be run again; to change a secret, remove its file (and redis_users, milvus_config or milvus_token, which are
# made of others). Only the two of OSS are yours: they are taken from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET where
# these are set, and asked for at a terminal.
set -eu
here=$(dirname "$0")
secrets=$here/secrets
# The folder keeps others out. The files can be read by everyone, for the users of the containers are not its owner.
umask 077
mkdir -p "$secrets"
umask 022

random() {
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# keep NAME TEXT: write a secret, unless it is there.
keep() {
    if [ ! -s "$secrets/$1" ]; then
        printf '%s\n' "$2" >"$secrets/$1.new"
        chmod 444 "$secrets/$1.new"
        mv -f "$secrets/$1.new" "$secrets/$1"
        echo "made $secrets/$1"
    fi
}

# digest NAME: the SHA-256 of a secret, which is how Redis is told a password.
digest() {
    head -n 1 "$secrets/$1" | tr -d '\n' | sha256sum | cut -d ' ' -f 1
}

# ask NAME VALUE: one that only you know.
ask() {
    value=$2
    if [ -z "$value" ] && [ ! -s "$secrets/$1" ] && [ -t 0 ]; then
        printf '%s: ' "$1"
        read -r value
    fi
    if [ -n "$value" ]; then
        keep "$1" "$value"
    elif [ ! -s "$secrets/$1" ]; then
        echo "$secrets/$1 is missing: write the value into it" >&2
        missing=1
    fi
}

for role in producer worker monitor listener admin; do
    keep "redis_${role}_password" "$(random)"
done
keep redis_users "$(sed \
    -e "s/SHA256_OF_PRODUCER/$(digest redis_producer_password)/" \
    -e "s/SHA256_OF_WORKER/$(digest redis_worker_password)/" \
    -e "s/SHA256_OF_MONITOR/$(digest redis_monitor_password)/" \
    -e "s/SHA256_OF_LISTENER/$(digest redis_listener_password)/" \
    -e "s/SHA256_OF_ADMIN/$(digest redis_admin_password)/" "$here/redis/users.acl")"
keep minio_root_password "$(random)"
keep milvus_token "root:$(random)"
keep milvus_config "$(cat <<END
minio:
  accessKeyID: milvus
  secretAccessKey: $(cat "$secrets/minio_root_password")
common:
  security:
    authorizationEnabled: true
    defaultRootPassword: $(cut -d : -f 2 "$secrets/milvus_token")
END
)"
keep flower_basic_auth "operator:$(random)"
keep grafana_admin_password "$(random)"
keep listen_secrets "$(random)"
missing=0
ask oss_access_key_id "${OSS_ACCESS_KEY_ID:-}"
ask oss_access_key_secret "${OSS_ACCESS_KEY_SECRET:-}"
exit $missing
