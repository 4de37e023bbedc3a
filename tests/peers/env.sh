# Where the fetched peers live. Sourced by the other scripts of this folder; starts nothing by itself.
KAFKA_VERSION=4.2.0
PEERS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PEERS_CACHE=${KANAT_PEERS_CACHE:-$HOME/.cache/kanat-peers}
KAFKA_LIBS=$PEERS_CACHE/kafka-$KAFKA_VERSION/libs
PEERS_PYTHON=$PEERS_CACHE/venv/bin/python

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}
