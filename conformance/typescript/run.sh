#!/usr/bin/env bash
# Drives a podmail binary with the official TypeScript SDK and the official command line tool; the last line of each
# program tells how many tests passed.
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
result=0
for program in guide coverage cli; do
    echo "== $program"
    node "$program.mjs" "$binary" "$2" || result=1
done
exit $result
