#!/usr/bin/env bash
# A PostgreSQL of one's own for development and tests, beside any that the
# machine has: `postgres.sh start DIRECTORY` prints its address, `postgres.sh
# stop DIRECTORY` ends it. Needs Debian's package `postgresql`. Nothing in it is
# meant to survive a power cut.
set -euo pipefail

usage() { echo "usage: postgres.sh start|stop DIRECTORY" >&2; exit 2; }
[ $# = 2 ] || usage
directory=$2
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

# The server refuses to run as root.
as() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }

case $1 in
start)
    mkdir -p "$directory"
    directory=$(cd "$directory" && pwd)
    [ "$(id -u)" != 0 ] || chown postgres "$directory"
    as "$bin/initdb" -D "$directory/data" -U nexus -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$directory.log"
    # A port that nobody has now; taken by the server right after.
    port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
    options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=300"
    as "$bin/pg_ctl" -D "$directory/data" -w -o "$options" -l "$directory/server.log" start >>"$directory.log"
    echo "postgres://nexus@127.0.0.1:$port/postgres"
    ;;
stop)
    as "$bin/pg_ctl" -D "$(cd "$directory" && pwd)/data" -w -m immediate stop >/dev/null
    ;;
*) usage ;;
esac
