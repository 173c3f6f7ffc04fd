#!/usr/bin/env bash
# Runs molecule's scenarios one after the other (all, or those named); they share one lab host. `host` comes first:
# the others are deployed by the engine that it installed. `migrate`, which deploys thrice, and `backups`, which installs
# packages and waits for drills, run when named: make test-long.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

scenarios=("$@")
if ((${#scenarios[@]} == 0)); then
  scenarios=(host)
  for file in molecule/*/molecule.yml; do
    name=$(basename "$(dirname "$file")")
    [[ $name == host || $name == migrate || $name == backups ]] || scenarios+=("$name")
  done
fi
python -m tests.lab up solo
for name in "${scenarios[@]}"; do
  echo "--- molecule: $name ---"
  molecule test --no-command-borders -s "$name"
done
