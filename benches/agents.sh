#!/usr/bin/env bash
# Webhook to agent, beside the reference hub, with the same load tool.
#
#   benches/agents.sh PEERS     # see run.sh; NEST=1 measures the reference hub too
#
# Needs target/release/nexus. Every event goes to ten agents, each with an inbox
# of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${1:?name the folder of the peers}
load=${LOAD:-$peers/load/target/release/peerload}
nexus=$PWD/target/release/nexus
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
ulimit -n "$(ulimit -Hn)"

wait_for() { for _ in $(seq 400); do curl -fs -o /dev/null "$1" && return; sleep 0.05; done; echo "no answer: $1" >&2; return 1; }

start() { # start LABEL ENV... : a fresh hub, seeded for the load tool
    local label=$1; shift
    local settings=(NEXUS_DATA_DIR="$work/$label" PORT=3180 NEXUS_TELEMETRY_LEVEL=warn
        WEBHOOK_SECRET_CLICKUP=bench-webhook-secret SLACK_SIGNING_SECRET=bench-webhook-secret NEXUS_DEFAULT_TENANT=bench
        NEXUS_SERVER_CLIENT_REQUESTS_PER_S=100000 "$@")
    env "${settings[@]}" "$nexus" seed --bench --json >"$work/$label.json"
    env "${settings[@]}" "$nexus" up &
    pid=$!
    wait_for http://127.0.0.1:3180/health/ready
}
stop() { kill "$pid"; wait "$pid" || true; pid=; rm -rf "${work:?}/$1"; }

ours() { # ours ARGS... : the load tool against the hub
    "$load" --base http://127.0.0.1:3180 --path /webhooks/clickup --kind clickup --sign clickup --secret bench-webhook-secret \
        --auth-path /auth/token --client-id 'bench-{n}' --client-secret bench-secret \
        --idle-client-id 'idle-{n}' --idle-client-secret idle-secret --idle-clients 100 \
        --ws-path '/agents/ws?token={token}' --ws-hello '{"event":"agent_ready","data":{"ack":true}}' \
        --event-name task_assigned --proc "hub=$pid" "$@"
}

for round in $(seq "${ROUNDS:-3}"); do
    echo "=== round $round, load $(cut -d' ' -f1-3 /proc/loadavg)"
    for transport in sio ws; do
        start "$transport"
        echo "--- hub, $transport: 200/s";          ours --transport "$transport" --agents 10 --rate 200 --events 4000 --warmup 400
        echo "--- hub, $transport: 2,000/s";        ours --transport "$transport" --agents 10 --rate 2000 --events 20000 --warmup 2000
        echo "--- hub, $transport: at saturation";  ours --transport "$transport" --agents 10 --concurrency 64 --events 30000 --warmup 2000
        stop "$transport"
    done
    if [ -n "${NEST:-}" ]; then
        echo "--- reference hub"
        (cd "$peers" && N=1 bash -c './run-nest.sh steady; ./run-nest.sh ingest')
    fi
done
