-- How long does the hub keep an event until its agents are told, by tenant? From
-- the webhook's arrival to the decision, both by the hub's clock, in the last
-- five minutes, minute by minute. Approximate: a sketch, not all values.
--
-- Reads:  agents.inbox
-- Writes: streams.dispatches.latency
-- Key:    tenant/window_end
CREATE TABLE inbox (
    "tenantId" TEXT NOT NULL,
    at         TIMESTAMP NOT NULL,
    event      JSON,
    WATERMARK FOR at AS at - INTERVAL '5 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}agents.inbox',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-dispatch-latency',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE TABLE latency (
    key           TEXT,
    "tenantId"    TEXT,
    "windowStart" TIMESTAMP,
    "windowEnd"   TIMESTAMP,
    dispatches    BIGINT,
    "p50Ms"       DOUBLE,
    "p95Ms"       DOUBLE,
    "p99Ms"       DOUBLE
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.dispatches.latency',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

-- A wake-up, a result and a broadcast are no events: they came through no webhook.
INSERT INTO latency
SELECT concat(tenant_id, '/', CAST(window.end AS TEXT)) AS key,
       tenant_id, window.start AS window_start, window.end AS window_end, n, p50_ms, p95_ms, p99_ms
FROM (
    SELECT tenant_id,
           hop(INTERVAL '1 minute', INTERVAL '5 minutes') AS window,
           count(*) AS n,
           approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS p50_ms,
           approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms,
           approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99_ms
    FROM (
        -- A time as a number is nanoseconds.
        SELECT "tenantId" AS tenant_id,
               CAST(CAST(at AS BIGINT) - CAST(CAST(json_get_str(event, 'receivedAt') AS TIMESTAMP) AS BIGINT) AS DOUBLE)
                   / 1000000.0 AS latency_ms
        FROM inbox
        WHERE json_get_str(event, 'receivedAt') IS NOT NULL
    )
    GROUP BY tenant_id, window
);
