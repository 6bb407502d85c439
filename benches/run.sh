#!/usr/bin/env bash
# The measurements of benches/README.md in one run: the hub beside the bare
# limits and the reference hub, with the same load tool.
#
#   benches/run.sh PEERS   # a folder with the reference hub (nest/) and the load
#                          # tool and limits (load/), both built; see its README
#
# Needs target/release/nexus. PostgreSQL and Redis only for the reference hub.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${1:?name the folder of the peers}
load=${LOAD:-$peers/load/target/release/peerload}
limits=${LIMITS:-$peers/load/target/release/limits}
nexus=$PWD/target/release/nexus
events=${EVENTS:-80000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wait_for() { for _ in $(seq 200); do curl -fs -o /dev/null "$1" && return; sleep 0.05; done; echo "no answer: $1" >&2; return 1; }

hub() { # hub LABEL ENV... : accept at concurrency 64
    local label=$1; shift
    env NEXUS_DATA_DIR="$work/$label" PORT=3180 NEXUS_TELEMETRY_LEVEL=warn WEBHOOK_SECRET_CLICKUP=bench-webhook-secret "$@" "$nexus" up &
    local pid=$!
    wait_for http://127.0.0.1:3180/health/ready
    echo "--- hub, $label"
    "$load" --base http://127.0.0.1:3180 --auth-path '' --sign clickup --proc "hub=$pid" --events "$events" --warmup 5000 --concurrency 64 | grep -E '^http|hub '
    kill "$pid"; wait "$pid" || true; rm -rf "${work:?}/$label"
}

limit() { # limit MODE
    "$limits" "$1" 3190 "$work/limits.dat" >/dev/null &
    local pid=$!
    sleep 0.5
    echo "--- limit, $1"
    "$load" --base http://127.0.0.1:3190 --auth-path '' --sign clickup --proc "server=$pid" --events "$events" --warmup 5000 --concurrency 64 | grep -E '^http|server '
    kill "$pid"; wait "$pid" 2>/dev/null || true
}

for round in $(seq "${ROUNDS:-3}"); do
    echo "=== round $round, load $(cut -d' ' -f1-3 /proc/loadavg)"
    limit durable
    hub sync
    hub interval NEXUS_LOG_DURABILITY=interval
    if [ -n "${NEST:-}" ]; then
        echo "--- reference hub, fsync always, HMAC checked"
        (cd "$peers" && N=1 EV=${NEST_EVENTS:-12000} CLICKUP_SECRET=bench-webhook-secret RUN_WORKER=1 bash -c '
            . ./lib.sh; ./services.sh fresh always; nest_start; sleep 0.5
            load nest-bench --events "$EV" --warmup 1000 --concurrency 64 --sign clickup | grep -E "^http" || true; nest_stop')
    fi
done
