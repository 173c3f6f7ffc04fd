# shellcheck shell=sh disable=SC3028  # Docker sets it in every container
# Standard input: a password. From the container's own address PostgreSQL asks for it, from 127.0.0.1 it does not.
IFS= read -r PGPASSWORD
export PGPASSWORD
said=$(psql --no-psqlrc --host "$(cat /etc/hostname)" --username litellm --dbname litellm --command 'select 1' 2>&1) && exit 0
case $said in *'password authentication failed'*) exit 10 ;; esac
echo "$said" >&2
exit 1
