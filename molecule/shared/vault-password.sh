#!/usr/bin/env bash
# The password of the scenarios' vault: made on first use, kept with the lab's state.
set -euo pipefail
file=$(dirname "$0")/../../.lab/molecule-vault-password
if [[ ! -s $file ]]; then
  mkdir -p "$(dirname "$file")"
  (umask 077; head -c 32 /dev/urandom | base64 >"$file")
fi
cat "$file"
