#!/bin/sh
# As the original: options or a file of them are the server's; root hands over to the account valkey.
set -e
case $1 in -* | *.conf) set -- valkey-server "$@" ;; esac
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user valkey -exec chown valkey '{}' +
  exec gosu valkey "$0" "$@"
fi
exec "$@"
