#!/usr/bin/env bash
# usage: tests/peers/python.sh SCRIPT [ARGS]...
#
# Runs a Python program with DuckDB, PyArrow and confluent-kafka at hand.
set -euo pipefail
. "$(dirname "$0")/env.sh"

[ -x "$PEERS_PYTHON" ] || fail "no Python in $PEERS_CACHE/venv: run tests/peers/fetch.sh first"
exec "$PEERS_PYTHON" "$@"
