#!/usr/bin/env bash
# Runs `ansible-test sanity` on the collection as users get it: built, unpacked where ansible-test wants it, under git.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/.cache/sanity
rm -rf "$work/ansible_collections" "$work"/*.tar.gz
mkdir -p "$work/home/.ansible/test/cache" "$work/ansible_collections/hearth/llm"

# ansible-test makes an environment of its own and downloads a script to put pip into it; the standard library's
# ensurepip does the same without the network. That file lies in a home directory of its own, so that the user's stays
# as it is; pip's settings and cache are taken from the real one.
# The file's name belongs to ansible-core 2.19; another version would download its own.
echo 'import ensurepip; ensurepip.bootstrap()' >"$work/home/.ansible/test/cache/get_pip_24_2.py"
for name in .config .pip .cache; do
  if [[ -e $HOME/$name ]]; then ln -sfn "$HOME/$name" "$work/home/$name"; fi
done

.venv/bin/ansible-galaxy collection build --output-path "$work" . >/dev/null
cd "$work/ansible_collections/hearth/llm"
tar -xzf "$work"/hearth-llm-*.tar.gz
git init -q
git add -A
python=$("$root/.venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
HOME="$work/home" PATH="$root/.venv/bin:$PATH" exec ansible-test sanity --local --python "$python" --color no "$@"
