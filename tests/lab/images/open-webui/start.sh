#!/usr/bin/env bash
# As the original's: a secret key is made beside this script, outside the data volume, where none is given.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit

if [ -z "$WEBUI_SECRET_KEY" ]; then
  [ -e .webui_secret_key ] || head -c 12 /dev/random | base64 > .webui_secret_key
  WEBUI_SECRET_KEY=$(cat .webui_secret_key)
  export WEBUI_SECRET_KEY
fi
exec open-webui serve --host "${HOST:-0.0.0.0}" --port "${PORT:-8080}"
