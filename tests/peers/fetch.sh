#!/usr/bin/env bash
# usage: tests/peers/fetch.sh
#
# Brings everything the real-peer tests need into the cache folder (KANAT_PEERS_CACHE, by default ~/.cache/kanat-peers):
#   kafka-4.2.0/libs   the jars of Apache Kafka, resolved by Maven from pom.xml
#   venv               a Python with DuckDB, PyArrow and librdkafka's client, from requirements.txt
# Run again it finds its own stamps and does nothing. JDK, Maven and Python are the prerequisites; it installs none of them.
set -euo pipefail
. "$(dirname "$0")/env.sh"

need() { # COMMAND WHAT_PROVIDES_IT
  command -v "$1" >/dev/null || fail "'$1' was not found: install $2 and run this again"
}

java_major() {
  java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

check_prerequisites() {
  need java "a JDK, version 17 or newer (Debian: openjdk-17-jdk-headless)"
  need javac "a JDK, not only a JRE, version 17 or newer (Debian: openjdk-17-jdk-headless)"
  need mvn "Apache Maven (Debian: maven)"
  need python3 "Python 3.10 or newer with venv (Debian: python3 python3-venv)"
  local major
  major=$(java_major)
  [ "${major:-0}" -ge 17 ] || fail "Kafka $KAFKA_VERSION needs Java 17 or newer, 'java' is version ${major:-unknown}"
  python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "Python 3.10 or newer with the venv module is needed (Debian: python3-venv)"
}

# Runs `step` unless `stamp` already holds the digest of `recipe`. The stamp is written last: an interrupted fetch starts over.
fetch_once() { # STAMP RECIPE STEP
  local stamp=$1 recipe=$2 step=$3 digest
  digest=$(sha256sum "$recipe" | cut -d' ' -f1)
  [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ] && return 0
  rm -f "$stamp"
  "$step"
  echo "$digest" >"$stamp"
}

fetch_kafka() {
  echo "fetching Apache Kafka $KAFKA_VERSION"
  rm -rf "$KAFKA_LIBS"
  mkdir -p "$KAFKA_LIBS"
  mvn -q -B -f "$PEERS_DIR/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$KAFKA_LIBS" >&2 ||
    fail "Maven could not resolve the jars of tests/peers/pom.xml"
  [ -f "$KAFKA_LIBS/kafka_2.13-$KAFKA_VERSION.jar" ] || fail "Maven left no broker jar in $KAFKA_LIBS"
}

fetch_python() {
  echo "fetching DuckDB, PyArrow and confluent-kafka"
  rm -rf "$PEERS_CACHE/venv"
  python3 -m venv "$PEERS_CACHE/venv"
  "$PEERS_PYTHON" -m pip install -q --disable-pip-version-check --only-binary :all: -r "$PEERS_DIR/requirements.txt" ||
    fail "pip could not install tests/peers/requirements.txt"
}

check_prerequisites
mkdir -p "$PEERS_CACHE"
# One fetch at a time: two test runs may start together on an empty cache.
exec 9>"$PEERS_CACHE/lock"
flock 9
fetch_once "$PEERS_CACHE/kafka-$KAFKA_VERSION.stamp" "$PEERS_DIR/pom.xml" fetch_kafka
fetch_once "$PEERS_CACHE/venv.stamp" "$PEERS_DIR/requirements.txt" fetch_python
