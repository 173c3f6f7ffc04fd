#!/usr/bin/env bash
# As the original: makes the cluster once, on an empty PGDATA, with a server that listens on its socket only; as root it
# hands over to the user postgres. POSTGRES_USER, _PASSWORD, _DB and _INITDB_ARGS (each also as _FILE) act then only.
set -Eeo pipefail

# A variable may come as VAR or as VAR_FILE (a file with its value), not as both.
from_file() {
  local variable=$1 file_variable=$1_FILE
  if [ "${!variable:-}" ] && [ "${!file_variable:-}" ]; then
    echo "error: both $variable and $file_variable are set (but are exclusive)" >&2
    exit 1
  fi
  [ -z "${!file_variable:-}" ] || export "$variable"="$(< "${!file_variable}")"
  unset "$file_variable"
}

read_settings() {
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_USER
  from_file POSTGRES_DB
  from_file POSTGRES_INITDB_ARGS
  : "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}" "${POSTGRES_HOST_AUTH_METHOD:=}"
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
    echo 'Error: Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD.' >&2
    exit 1
  fi
}

# initdb insists on a user with a name. One that has none, by `--user` or `user:`, gets it from this library.
with_a_name() {
  if getent passwd "$(id -u)" > /dev/null; then
    "$@"
    return
  fi
  local library passwd group
  library=$(find /usr/lib -name libnss_wrapper.so -print -quit)
  passwd=$(mktemp) group=$(mktemp)
  echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" > "$passwd"
  echo "postgres:x:$(id -g):" > "$group"
  LD_PRELOAD=$library NSS_WRAPPER_PASSWD=$passwd NSS_WRAPPER_GROUP=$group "$@"
  rm -f "$passwd" "$group"
}

init_files() {
  for file in /docker-entrypoint-initdb.d/*; do
    # shellcheck disable=SC1090 # whatever the operator puts there
    case "$file" in
      *.sh) if [ -x "$file" ]; then "$file"; else source "$file"; fi ;;
      *.sql) sql --dbname "$POSTGRES_DB" --file "$file" ;;
      *.sql.gz) gunzip --stdout "$file" | sql --dbname "$POSTGRES_DB" ;;
    esac
  done
}

sql() {
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

initialise() {
  read_settings
  # shellcheck disable=SC2086 # several arguments in one variable, as the original documents it
  with_a_name initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") ${POSTGRES_INITDB_ARGS:-}
  local method
  method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
  PGPASSWORD=$POSTGRES_PASSWORD
  export PGPASSWORD
  pg_ctl --wait --options="-c listen_addresses='' -p 5432" start
  if [ "$POSTGRES_DB" != postgres ]; then
    sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  fi
  init_files
  pg_ctl --wait --mode=fast stop
  unset PGPASSWORD
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

[ "${1#-}" = "${1:-}" ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 00700 "$PGDATA"
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec gosu postgres "$0" "$@"
  fi
  mkdir -p "$PGDATA"
  chmod 00700 "$PGDATA" || true
  if [ -s "$PGDATA/PG_VERSION" ]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    initialise
  fi
fi
exec "$@"
