-- Which agents said the same again within 10 seconds? White space does not
-- matter. The window slides by a second, and only the slide in which the newest
-- repeat arrived is told, so that one repeat is one row.
--
-- Reads:  agents.actions
-- Writes: streams.messages.repeated
-- Key:    tenant/agent/text_hash/window_end
-- Calls:  content_hash
CREATE TABLE actions (
    "tenantId" TEXT NOT NULL,
    "agentId"  TEXT NOT NULL,
    name       TEXT NOT NULL,
    data       JSON NOT NULL,
    at         TIMESTAMP NOT NULL,
    WATERMARK FOR at AS at - INTERVAL '2 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}agents.actions',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-duplicate-messages',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE VIEW messages AS
SELECT "tenantId" AS tenant_id, "agentId" AS agent_id, at,
       content_hash(json_get_str(data, 'text')) AS text_hash
FROM actions
WHERE name = 'message' AND json_get_str(data, 'text') IS NOT NULL;

CREATE TABLE repeated (
    key           TEXT,
    "tenantId"    TEXT,
    "agentId"     TEXT,
    "textHash"    TEXT,
    "windowStart" TIMESTAMP,
    "windowEnd"   TIMESTAMP,
    messages      BIGINT
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.messages.repeated',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO repeated
SELECT concat(tenant_id, '/', agent_id, '/', text_hash, '/', CAST(window.end AS TEXT)) AS key,
       tenant_id, agent_id, text_hash, window.start AS window_start, window.end AS window_end, n
FROM (
    SELECT tenant_id, agent_id, text_hash,
           hop(INTERVAL '1 second', INTERVAL '10 seconds') AS window,
           count(*) AS n, max(at) AS last_at
    FROM messages
    GROUP BY tenant_id, agent_id, text_hash, window
)
WHERE n > 1 AND last_at >= window.end - INTERVAL '1 second';
