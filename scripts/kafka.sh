#!/usr/bin/env bash
# A real Apache Kafka broker for tests: one node, KRaft, loopback only, a fresh data folder each start.
#
#   scripts/kafka.sh run CMD…   start a broker, run CMD with KAFKA_BOOTSTRAP set, stop the broker, keep CMD's exit code
#   scripts/kafka.sh start      start one in the background; prints `export KAFKA_BOOTSTRAP=…`
#   scripts/kafka.sh stop       stop the one that `start` started
#
# Needs Java 17 and Maven; the artefacts come from Maven's repository once and stay in the cache folder.
set -euo pipefail

version=3.9.1
cache=${CRAVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crave-wave}/kafka
# `run` has a folder of its own, so that several can go at once.
run=$cache/run
[ "${1:-}" != run ] || run=$cache/run.$$

alive() {
  [ -f "$run/pid" ] && grep -qs '^State:[[:space:]]*[^Z]' "/proc/$(cat "$run/pid")/status"
}

need() {
  command -v "$1" >/dev/null || { echo "kafka.sh: $1 is missing; install it (Debian: apt-get install $2)" >&2; exit 1; }
}

fetch() {
  [ -f "$cache/$version.done" ] && return
  need mvn maven
  echo "kafka.sh: fetching Apache Kafka $version (about 46 MB, once)" >&2
  mkdir -p "$cache"
  cat >"$cache/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>crave-wave</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  mvn -B -q -f "$cache/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/$version" -DincludeScope=runtime >&2
  touch "$cache/$version.done"
}

# Two ports that are free now, on loopback.
ports() {
  python3 - <<'PY'
import socket
taken = [socket.socket() for _ in range(2)]
for s in taken:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in taken))
PY
}

# Takes the place of the shell that calls it, so that `$!` is the broker itself.
java_() {
  exec java -Xms256m -Xmx768m -XX:+UseSerialGC -Dlog4j.configuration="file:$run/log4j.properties" -cp "$cache/$version/*" "$@"
}

start() {
  need java openjdk-17-jre-headless
  need python3 python3
  fetch
  if alive; then
    echo "kafka.sh: a broker is running; stop it first" >&2
    exit 1
  fi
  rm -rf "$run"
  mkdir -p "$run"
  local broker controller
  read -r broker controller < <(ports)
  cat >"$run/log4j.properties" <<LOG
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c - %m%n
LOG
  # Small, and quick to form and settle transactions: a test broker has one replica of everything.
  cat >"$run/server.properties" <<CONF
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$broker
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$run/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
CONF
  (java_ kafka.tools.StorageTool format --config "$run/server.properties" \
    --cluster-id "$(java_ kafka.tools.StorageTool random-uuid | tail -1)") >"$run/format.log" 2>&1 ||
    { cat "$run/format.log" >&2; exit 1; }
  java_ kafka.Kafka "$run/server.properties" >"$run/broker.log" 2>&1 &
  echo $! >"$run/pid"
  echo "127.0.0.1:$broker" >"$run/bootstrap"
  for _ in $(seq 1 150); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$broker") 2>/dev/null; then return; fi
    alive || break
    sleep 0.2
  done
  echo "kafka.sh: the broker did not start; its last words:" >&2
  tail -20 "$run/broker.log" >&2
  stop
  exit 1
}

stop() {
  [ -f "$run/pid" ] || return 0
  local pid
  pid=$(cat "$run/pid")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 1 50); do
    alive || break
    sleep 0.2
  done
  ! alive || kill -9 "$pid" 2>/dev/null || true
  rm -rf "$run"
}

case ${1:-} in
  start)
    start
    echo "export KAFKA_BOOTSTRAP=$(cat "$run/bootstrap")"
    ;;
  stop) stop ;;
  run)
    shift
    [ $# -gt 0 ] || { echo "usage: scripts/kafka.sh run CMD…" >&2; exit 2; }
    trap stop EXIT
    start
    KAFKA_BOOTSTRAP=$(cat "$run/bootstrap") "$@"
    ;;
  *)
    echo "usage: scripts/kafka.sh start | stop | run CMD…" >&2
    exit 2
    ;;
esac
