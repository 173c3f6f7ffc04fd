#!/bin/sh
# Writes the configuration to /tmp (a tmpfs where the container is read-only) and starts haproxy in the foreground.
set -e

case "$DISABLE_IPV6" in
  1 | true | yes) bind=":2375" ;;
  *) bind="[::]:2375 v4v6" ;;
esac
sed "s|@BIND@|$bind|" /usr/local/etc/haproxy/haproxy.cfg.template > /tmp/haproxy.cfg

[ "${1#-}" = "$1" ] || set -- haproxy "$@"
if [ "$1" = haproxy ]; then
  shift
  set -- haproxy -W -db "$@"
fi
exec "$@"
