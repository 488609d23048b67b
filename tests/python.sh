#!/usr/bin/env bash
# Makes the Python environment that tests use other people's validators and servers from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target="$here/../target/tests"
mkdir -p "$target"
(
  flock 9
  if ! cmp -s "$here/requirements.txt" "$target/python/requirements.txt"; then
    python3 -m venv "$target/python"
    "$target/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$target/python/requirements.txt"
  fi
) 9>"$target/python.lock"
