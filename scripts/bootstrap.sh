#!/usr/bin/env bash
# Makes .venv from nothing and fills it: `bootstrap.sh runtime` (to deploy) or `bootstrap.sh dev` (to test as well).
# Says what it found and what it installed; does nothing when the requirements have not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-runtime}
case $kind in
  runtime) files=(requirements.txt) what="Ansible in .venv" ;;
  dev) files=(requirements.txt requirements-dev.txt) what="test tools in .venv" ;;
  *) echo "usage: $0 runtime|dev" >&2; exit 2 ;;
esac
stamp=.venv/.hearth-$kind
log=.cache/bootstrap.log
mkdir -p .cache

say() { printf ' %s %-36s %s\n' "$1" "$2" "$3"; }

# Runs a command with its output in the log; shows the seconds on a terminal, and a line every 15 s elsewhere.
step() {
  local text=$1 begun=$SECONDS pid elapsed
  shift
  "$@" >>"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    elapsed=$((SECONDS - begun))
    if [[ -t 1 ]]; then
      printf '\r ↓ %-36s %s s ' "$text" "$elapsed"
    elif ((elapsed > 0 && elapsed % 15 == 0)); then
      say '↓' "$text" "$elapsed s"
    fi
    sleep 1
  done
  [[ -t 1 ]] && printf '\r\033[K'
  if ! wait "$pid"; then
    say '✗' "$text" "failed; the end of $log:"
    tail -n 15 "$log"
    exit 1
  fi
  say '✓' "$text" "$((SECONDS - begun)) s"
}

find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "$name"
      return
    fi
  done
  echo "Python 3.11 or newer is needed (set PYTHON to its path if it is not called python3)." >&2
  return 1
}

# Debian and Ubuntu keep ensurepip, which venv needs, in a package of its own.
ensure_venv_module() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null && return
  local version package
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  package="python$version-venv"
  if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "$python has no ensurepip; install the package $package (Debian, Ubuntu) and run this again." >&2
    exit 1
  fi
  step "apt: package lists" apt-get update
  step "apt: $package" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$package"
}

wanted=$(cat "${files[@]}")
if [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
  say '✓' "$what" found
  exit 0
fi

: >"$log"
if [[ ! -x .venv/bin/pip ]]; then
  python=$(find_python)
  ensure_venv_module
  step "Python environment .venv" "$python" -m venv --clear .venv
fi
step "$what" .venv/bin/pip install --disable-pip-version-check -r "${files[-1]}"
cat "${files[@]}" >"$stamp"
