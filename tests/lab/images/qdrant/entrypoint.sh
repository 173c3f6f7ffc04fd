#!/usr/bin/env bash
# As the original's, without its recovery mode: stop signals reach the server, and its exit status is the container's.
if [ "${QDRANT_ALLOW_RECOVERY_MODE:-false}" = true ]; then
  echo "stand-in: the recovery mode is not there" >&2
  exit 1
fi
./qdrant "$@" &
server=$!
trap 'kill -TERM "$server"' TERM
trap 'kill -INT "$server"' INT
wait "$server"
wait "$server"
