#!/usr/bin/env bash
# usage: tests/peers/kafka.sh start DIR [--nodes 1|3] [--parent PID] [--listener PROTOCOL]... [--set KEY=VALUE]...
#        tests/peers/kafka.sh stop DIR        shuts it down; DIR keeps the data
#        tests/peers/kafka.sh destroy DIR     kills it and removes DIR
#        tests/peers/kafka.sh stop-node|kill-node|start-node DIR NODE
#
# In VALUE, @NODE@ stands for the number of the node. Beside PLAINTEXT every node gets a listener of each further PROTOCOL (SSL,
# SASL_SSL, SASL_PLAINTEXT), of the same name; DIR/NODE/port.PROTOCOL holds its port.
# A real Apache Kafka (KRaft, every node broker and controller) on free ports of 127.0.0.1, with all its files in DIR.
# `start` returns when every node answers and prints the bootstrap servers, which DIR/bootstrap also holds.
# With --parent the cluster is destroyed once that process is gone, so that a killed test leaves nothing behind.
# KAFKA_HEAP sets the JVM's memory options.
set -euo pipefail
. "$(dirname "$0")/env.sh"

CLUSTER_ID=a2FuYXQtcGVlcnMta2Fma2
START_TIMEOUT_S=90
STOP_TIMEOUT_S=20
HEAP=${KAFKA_HEAP:--Xms192m -Xmx512m}

# Distinct ports below the range the system gives to outgoing connections: a node that is down must find its port free again.
free_ports() { # COUNT
  python3 - "$1" <<'PY'
import random, socket, sys

wanted, held = int(sys.argv[1]), []
while len(held) < wanted:
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", random.randrange(15000, 32000)))
    except OSError:
        probe.close()
        continue
    held.append(probe)
print(*(probe.getsockname()[1] for probe in held))
PY
}

write_config() { # DIR NODE NODES BROKER_PORT CONTROLLER_PORT VOTERS
  local replicas=1 in_sync=1
  [ "$3" -ge 3 ] && replicas=3 in_sync=2
  cat >"$1/$2/server.properties" <<P
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$6
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$4,CONTROLLER://127.0.0.1:$5
advertised.listeners=PLAINTEXT://127.0.0.1:$4
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/$2/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$replicas
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
# A killed node must be noticed within a test's patience.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
# Compaction within a test's patience.
log.cleaner.backoff.ms=200
P
}

write_log_config() { # FILE
  cat >"$1" <<'P'
status=WARN
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
P
}

# Replaces the calling (sub)shell, so that its process id is the JVM's.
exec_java() { # DIR CLASS ARGS...
  local dir=$1
  shift
  # shellcheck disable=SC2086 # HEAP holds several options
  exec java $HEAP -XX:+UseSerialGC -Djava.awt.headless=true "-Dlog4j2.configurationFile=$dir/log4j2.properties" \
    -cp "$KAFKA_LIBS/*" "$@"
}

format_first_node() { # DIR
  (exec_java "$1" kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$1/1/server.properties") >"$1/format.log" 2>&1
}

# A formatted folder differs between nodes in two ids only, and a JVM takes seconds to write them.
format_like_first_node() { # DIR NODE
  local directory_id
  directory_id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
  cp -r "$1/1/data" "$1/$2/data"
  sed -i -e "s/^node.id=.*/node.id=$2/" -e "s/^directory.id=.*/directory.id=$directory_id/" "$1/$2/data/meta.properties"
}

launch_node() { # DIR NODE
  local home=$1/$2
  (exec_java "$1" kafka.Kafka "$home/server.properties") </dev/null >>"$home/broker.log" 2>&1 &
  echo $! >"$home/pid"
  disown
}

node_pid() { # DIR NODE
  cat "$1/$2/pid" 2>/dev/null
}

node_runs() { # DIR NODE
  local pid
  pid=$(node_pid "$1" "$2") && kill -0 "$pid" 2>/dev/null
}

await_node() { # DIR NODE
  local pid port deadline=$((SECONDS + START_TIMEOUT_S))
  pid=$(node_pid "$1" "$2")
  port=$(cat "$1/$2/port")
  until (echo >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    if ! kill -0 "$pid" 2>/dev/null; then
      tail -n 20 "$1/$2/broker.log" >&2
      fail "node $2 ended while starting, see $1/$2/broker.log"
    fi
    [ $SECONDS -lt $deadline ] || fail "node $2 does not answer on port $port after $START_TIMEOUT_S s"
    sleep 0.05
  done
}

end_node() { # DIR NODE SIGNAL
  local pid deadline=$((SECONDS + STOP_TIMEOUT_S))
  pid=$(node_pid "$1" "$2") || return 0
  kill "-$3" "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  rm -f "$1/$2/pid"
}

add_listener() { # DIR NODE PROTOCOL PORT
  echo "$4" >"$1/$2/port.$3"
  sed -i -E -e "s#^(advertised\.)?listeners=.*#&,$3://127.0.0.1:$4#" -e "s#^listener\.security\.protocol\.map=.*#&,$3:$3#" \
    "$1/$2/server.properties"
}

start_cluster() { # DIR NODES PARENT PROTOCOLS SETTING...
  local dir=$1 nodes=$2 parent=$3 protocols ports voters='' servers='' node setting next protocol
  read -ra protocols <<<"$4"
  shift 4
  [ -z "$(ls -A "$dir")" ] || fail "'$dir' is not empty: a cluster starts in a folder of its own"
  [ -f "$KAFKA_LIBS/kafka_2.13-$KAFKA_VERSION.jar" ] || fail "no Kafka in $KAFKA_LIBS: run tests/peers/fetch.sh first"
  read -ra ports <<<"$(free_ports $(((2 + ${#protocols[@]}) * nodes)))"
  next=$((2 * nodes))
  for ((node = 1; node <= nodes; node++)); do
    servers+=",127.0.0.1:${ports[2 * node - 2]}"
    voters+=",$node@127.0.0.1:${ports[2 * node - 1]}"
  done
  write_log_config "$dir/log4j2.properties"
  for ((node = 1; node <= nodes; node++)); do
    mkdir -p "$dir/$node"
    echo "${ports[2 * node - 2]}" >"$dir/$node/port"
    write_config "$dir" "$node" "$nodes" "${ports[2 * node - 2]}" "${ports[2 * node - 1]}" "${voters#,}"
    for protocol in "${protocols[@]}"; do
      add_listener "$dir" "$node" "$protocol" "${ports[next++]}"
    done
    for setting in "$@"; do echo "${setting//@NODE@/$node}" >>"$dir/$node/server.properties"; done
  done
  format_first_node "$dir" || fail "the first node could not be formatted, see $dir/format.log"
  for ((node = 2; node <= nodes; node++)); do format_like_first_node "$dir" "$node"; done
  for ((node = 1; node <= nodes; node++)); do launch_node "$dir" "$node"; done
  [ -z "$parent" ] || watch_parent "$dir" "$parent"
  for ((node = 1; node <= nodes; node++)); do await_node "$dir" "$node"; done
  echo "${servers#,}" | tee "$dir/bootstrap"
}

watch_parent() { # DIR PARENT
  setsid bash -c 'tail --pid="$1" -f /dev/null; [ ! -d "$3" ] || "$2" destroy "$3"' watch "$2" "$PEERS_DIR/kafka.sh" "$1" \
    </dev/null >/dev/null 2>&1 &
  disown
}

# The signal goes to all nodes before the first is waited for.
end_cluster() { # DIR SIGNAL
  local home
  for home in "$1"/[0-9]; do
    [ ! -f "$home/pid" ] || kill "-$2" "$(cat "$home/pid")" 2>/dev/null || true
  done
  for home in "$1"/[0-9]; do
    [ ! -f "$home/pid" ] || end_node "$1" "$(basename "$home")" "$2"
  done
}

command=${1:-} dir=${2:-}
[ -n "$command" ] && [ -n "$dir" ] || fail "usage: kafka.sh start|stop|destroy|stop-node|kill-node|start-node DIR ..."
shift 2
[ "$command" != start ] || mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
case $command in
start)
  nodes=1 parent='' protocols='' settings=()
  while [ $# -gt 0 ]; do
    case $1 in
    --nodes) nodes=$2 ;;
    --parent) parent=$2 ;;
    --listener) protocols+=" $2" ;;
    --set) settings+=("$2") ;;
    *) fail "unknown option '$1'" ;;
    esac
    shift 2
  done
  start_cluster "$dir" "$nodes" "$parent" "$protocols" "${settings[@]}"
  ;;
stop) end_cluster "$dir" TERM ;;
destroy)
  end_cluster "$dir" KILL
  rm -rf "$dir"
  ;;
stop-node) end_node "$dir" "$1" TERM ;;
kill-node) end_node "$dir" "$1" KILL ;;
start-node)
  node_runs "$dir" "$1" || launch_node "$dir" "$1"
  await_node "$dir" "$1"
  ;;
*) fail "unknown command '$command'" ;;
esac
