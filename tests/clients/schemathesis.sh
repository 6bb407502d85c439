#!/usr/bin/env bash
# Tries everything that the hub's document allows, and much that it does not:
#   schemathesis.sh URL TOKEN [OPTION…]
# The same seed and the same number of examples every time. Python's packages
# go into target/, pinned.
set -euo pipefail
cd "$(dirname "$0")/../.."

url=$1 token=$2
shift 2
version=4.32.5
venv=target/schemathesis
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

# Left out: the webhooks' routes, whose bodies are their providers' and checked
# by signature; /auth/token, which would be refused after ten wrong secrets, and
# the browser's half of an install, whose tickets are good for once (they have
# tests of their own); /mcp, whose errors are JSON-RPC's and which a client of MCP
# tries; what asks a provider that is not there.
exec "$venv/bin/schemathesis" --config-file tests/clients/schemathesis.toml run "$url/openapi.json" \
    --header "Authorization: Bearer $token" \
    --exclude-path-regex '^/(api/webhooks|webhooks/(clickup|slack|github|jira)|auth/token|metrics|mcp|oauth|api/connections/[^/]+/(channels|lists))' \
    --seed 4711 --max-examples "${NEXUS_TEST_SCHEMATHESIS_EXAMPLES:-25}" --generation-database none --no-color "$@"
