#!/bin/sh
# Fills in users.acl, for Redis' `aclfile`: the passwords stand in files, each named like its user, and only their SHA-256
# goes into the result.
#
#     deploy/redis/users.sh /run/secrets/redis > users.acl
#
# Redis before 7.2 does not know CLIENT SETINFO: take ` +client|setinfo` out, with sed.
set -eu
folder=${1:?the folder with the passwords: one file for each user}
script=
for user in producer worker monitor listener admin; do
    # Without the line break at the end.
    password=$(cat "$folder/$user")
    test -n "$password" || { echo "$folder/$user is empty" >&2; exit 1; }
    digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
    script="$script;s/SHA256_OF_$(echo "$user" | tr '[:lower:]' '[:upper:]') /$digest /"
done
sed "${script#;}" "$(dirname "$0")/users.acl"
