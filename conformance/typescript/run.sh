#!/usr/bin/env bash
# Drives a podmail binary with the official TypeScript SDK; the last line tells how many tests passed.
#
#   ./run.sh BINARY sqlite|postgres
#
# For `postgres` PODMAIL_TEST_POSTGRES is the URL of a server on which databases may be created. `npm ci` comes first.
set -euo pipefail

if (($# != 2)); then
    echo "usage: $0 BINARY sqlite|postgres" >&2
    exit 2
fi
binary=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")"
exec node guide.mjs "$binary" "$2"
