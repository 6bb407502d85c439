-- How much happens in each project, hour by hour, and how much of it is talk?
-- The hours are those of the hub's own clock (`receivedAt`), never a provider's.
-- Events of no mapped project are in none of them.
--
-- Reads:  events
-- Writes: streams.projects.events
-- Key:    tenant/project/window_end
CREATE TABLE events (
    type         TEXT NOT NULL,
    "tenantId"   TEXT NOT NULL,
    "receivedAt" TIMESTAMP NOT NULL,
    project      JSON,
    WATERMARK FOR receivedAt AS "receivedAt" - INTERVAL '30 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}events',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-project-events',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE TABLE hours (
    key           TEXT,
    "tenantId"    TEXT,
    "projectId"   TEXT,
    "windowStart" TIMESTAMP,
    "windowEnd"   TIMESTAMP,
    events        BIGINT,
    messages      BIGINT
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.projects.events',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO hours
SELECT concat(tenant_id, '/', project_id, '/', CAST(window.end AS TEXT)) AS key,
       tenant_id, project_id, window.start AS window_start, window.end AS window_end, n, said
FROM (
    SELECT tenant_id, project_id,
           tumble(INTERVAL '1 hour') AS window,
           count(*) AS n,
           count(*) FILTER (WHERE type IN ('MessagePosted', 'CommentPosted')) AS said
    FROM (
        SELECT "tenantId" AS tenant_id, json_get_str(project, 'id') AS project_id, type
        FROM events
    )
    WHERE project_id IS NOT NULL
    GROUP BY tenant_id, project_id, window
);
