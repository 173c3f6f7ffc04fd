#!/bin/sh
# As in the original: master and worker in the foreground, so that SIGUSR2 loads the configuration anew.
set -e
case "$1" in -*) set -- haproxy "$@" ;; esac
if [ "$1" = haproxy ]; then
  shift
  set -- haproxy -W -db "$@"
fi
exec "$@"
