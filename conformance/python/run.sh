#!/usr/bin/env bash
# Drives a podmail binary with the official Python SDK and prints pytest's output.
#
#   ./run.sh BINARY sqlite|postgres [PYTEST ARGUMENTS...]
#
# For `postgres` PODMAIL_TEST_POSTGRES is the URL of a server on which databases may be created.
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 BINARY sqlite|postgres [PYTEST ARGUMENTS...]" >&2
    exit 2
fi
PODMAIL_BINARY=$(realpath "$1")
export PODMAIL_BINARY PODMAIL_ENGINE=$2 PYTHONDONTWRITEBYTECODE=1
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")"
python=../../.venv/bin/python
[[ -x $python ]] || python=python3
exec "${PODMAIL_CONFORMANCE_PYTHON:-$python}" -m pytest "$@"
