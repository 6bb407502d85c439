#!/bin/sh
# One Apache Kafka broker for development and tests, without a container.
#
#   kafka.sh start|stop|restart|kill DIR [PORT]
#
# In: Java 17 and Maven on the first start, a directory for the data, a port
# (19092 by default; the controller takes the next one). Out: the broker's
# address on standard output once it answers. It listens on 127.0.0.1 only.
# `stop` asks it to end and waits, `kill` does not ask (a crash, for tests),
# `restart` is both halves and keeps the data. Only the process whose id stands
# in DIR/kafka.pid, started by this script, is ever ended.
#
# The jars are fetched once into NEXUS_KAFKA_JARS, or the user's cache.
set -eu

usage() {
    echo "usage: kafka.sh start|stop|restart|kill DIR [PORT]" >&2
    exit 2
}

[ $# -ge 2 ] && [ $# -le 3 ] || usage
action=$1
here=$(cd "$(dirname "$0")" && pwd)
jars=${NEXUS_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/nexus/kafka-4.1.0}
mkdir -p "$2"
dir=$(cd "$2" && pwd)
pid_file=$dir/kafka.pid
config=$dir/server.properties
# A restart without a port keeps the one it had.
port=${3:-$(cat "$dir/port" 2>/dev/null || echo 19092)}

# The id of the running broker, or nothing. A number left over from before a
# reboot may be somebody else's by now, hence the look at its command line.
running() {
    [ -f "$pid_file" ] || return 1
    pid=$(cat "$pid_file")
    ps -o args= -p "$pid" 2>/dev/null | grep -qF "$config" || return 1
    echo "$pid"
}

fetch() {
    [ -f "$jars/complete" ] && return
    command -v mvn >/dev/null || { echo "kafka.sh: Maven (mvn) is needed to fetch the broker" >&2; exit 1; }
    echo "kafka.sh: fetching Apache Kafka 4.1.0 into $jars" >&2
    mkdir -p "$jars"
    mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2
    touch "$jars/complete"
}

# The configuration is written once for each directory and port.
configure() {
    echo "$port" > "$dir/port"
    sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$port|g" -e "s|@CONTROLLER@|$((port + 1))|g" \
        "$here/kafka/server.properties" > "$config"
    [ -f "$dir/data/meta.properties" ] && return
    id=$(java -cp "$jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
    java -cp "$jars/*" kafka.tools.StorageTool format -t "$id" -c "$config" > "$dir/format.log" 2>&1 || {
        cat "$dir/format.log" >&2
        exit 1
    }
}

start() {
    if running > /dev/null; then
        echo "127.0.0.1:$port"
        return
    fi
    fetch
    configure
    # Started in the background without the caller's pipes, or a caller that
    # reads this script's output would wait for the broker's end.
    nohup java -Xms128m -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info \
        -cp "$jars/*" kafka.Kafka "$config" < /dev/null > "$dir/kafka.log" 2>&1 &
    echo $! > "$pid_file"
    # Ready is when the broker's own log says so: an open port is not enough,
    # for it opens before the controller has let the broker serve.
    tries=0
    until grep -q "Kafka Server started" "$dir/kafka.log"; do
        running > /dev/null || { tail -n 40 "$dir/kafka.log" >&2; echo "kafka.sh: the broker ended" >&2; exit 1; }
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "kafka.sh: not ready after 60 s, see $dir/kafka.log" >&2; exit 1; }
        sleep 0.1
    done
    echo "127.0.0.1:$port"
}

# Ends the broker with the given signal and waits for it.
end() {
    pid=$(running) || { rm -f "$pid_file"; return 0; }
    kill "-$1" "$pid"
    tries=0
    while kill -0 "$pid" 2>/dev/null && running > /dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "kafka.sh: process $pid does not end" >&2; exit 1; }
        sleep 0.1
    done
    rm -f "$pid_file"
}

case $action in
    start) start ;;
    stop) end TERM ;;
    restart) end TERM; start ;;
    kill) end KILL ;;
    *) usage ;;
esac
