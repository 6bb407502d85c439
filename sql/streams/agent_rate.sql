-- Which agents asked to say more than 10 messages within a minute? The windows
-- begin every 10 seconds, so one burst is in several of them. What was refused
-- counts too: this is what agents asked for, not what was let through.
--
-- Reads:  agents.actions
-- Writes: streams.agents.rates
-- Key:    tenant/agent/window_end
CREATE TABLE actions (
    "tenantId" TEXT NOT NULL,
    "agentId"  TEXT NOT NULL,
    name       TEXT NOT NULL,
    at         TIMESTAMP NOT NULL,
    WATERMARK FOR at AS at - INTERVAL '5 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}agents.actions',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-agent-rate',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE TABLE rates (
    key           TEXT,
    "tenantId"    TEXT,
    "agentId"     TEXT,
    "windowStart" TIMESTAMP,
    "windowEnd"   TIMESTAMP,
    messages      BIGINT
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.agents.rates',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO rates
SELECT concat(tenant_id, '/', agent_id, '/', CAST(window.end AS TEXT)) AS key,
       tenant_id, agent_id, window.start AS window_start, window.end AS window_end, n
FROM (
    SELECT "tenantId" AS tenant_id, "agentId" AS agent_id,
           hop(INTERVAL '10 seconds', INTERVAL '1 minute') AS window,
           count(*) AS n
    FROM actions
    WHERE name = 'message'
    GROUP BY tenant_id, agent_id, window
)
WHERE n > 10;
