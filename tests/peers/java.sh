#!/usr/bin/env bash
# usage: tests/peers/java.sh CLASS [ARGS]...
#
# Runs one of the programs of tests/peers/java with Kafka's own clients; compiled once per change of the sources.
set -euo pipefail
. "$(dirname "$0")/env.sh"

[ $# -ge 1 ] && [ -f "$PEERS_DIR/java/$1.java" ] || fail "usage: java.sh CLASS [ARGS]... with a CLASS of $PEERS_DIR/java"
[ -d "$KAFKA_LIBS" ] || fail "no Kafka in $KAFKA_LIBS: run tests/peers/fetch.sh first"
class=$1
shift
digest=$(cat "$PEERS_DIR"/java/*.java | sha256sum | cut -c1-16)
classes=$PEERS_CACHE/classes/$class-$digest
if [ ! -d "$classes" ]; then
  building=$(mktemp -d "$PEERS_CACHE/classes-XXXXXX")
  javac -nowarn -Xlint:-options -proc:none -cp "$KAFKA_LIBS/*" -sourcepath "$PEERS_DIR/java" -d "$building" \
    "$PEERS_DIR/java/$class.java" || fail "$class.java does not compile"
  mkdir -p "$PEERS_CACHE/classes"
  # Another process may have been faster; its result is as good.
  mv -T "$building" "$classes" 2>/dev/null || rm -rf "$building"
fi
exec java -Xmx1g -XX:+UseSerialGC -Dlog4j2.level=ERROR -cp "$classes:$KAFKA_LIBS/*" "$class" "$@"
