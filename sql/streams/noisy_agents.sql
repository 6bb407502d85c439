-- Which agents of a tenant asked to say the most within the last ten minutes,
-- minute by minute? The first ten; who said as much as another stands in the
-- order of the ids, so that a replay gives the same ranks.
--
-- Reads:  agents.actions
-- Writes: streams.agents.noisy
-- Key:    tenant/window_end/rank
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
    'source.group_id' = '{{ prefix }}streams-noisy-agents',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE TABLE noisy (
    key         TEXT,
    "tenantId"  TEXT,
    "agentId"   TEXT,
    "windowEnd" TIMESTAMP,
    rank        BIGINT,
    messages    BIGINT
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.agents.noisy',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO noisy
SELECT concat(tenant_id, '/', CAST(window.end AS TEXT), '/', CAST(rank AS TEXT)) AS key,
       tenant_id, agent_id, window.end AS window_end, rank, n
FROM (
    SELECT tenant_id, agent_id, n, window,
           row_number() OVER (PARTITION BY window, tenant_id ORDER BY n DESC, agent_id) AS rank
    FROM (
        SELECT "tenantId" AS tenant_id, "agentId" AS agent_id,
               hop(INTERVAL '1 minute', INTERVAL '10 minutes') AS window,
               count(*) AS n
        FROM actions
        WHERE name = 'message'
        GROUP BY tenant_id, agent_id, window
    )
)
WHERE rank <= 10;
