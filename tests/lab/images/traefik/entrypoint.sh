#!/bin/sh
# As the original: options and sub-commands go to traefik, anything else is run as it is.
set -e
case "${1:-}" in
  -* | healthcheck | version) set -- traefik "$@" ;;
esac
exec "$@"
