-- Which threads have another 50 messages? The hub numbers what is said about a
-- task (`threadSeq`), so this is exact and remembers nothing. Summaries carry
-- the number that they go up to, and are no messages: hence the types.
--
-- Reads:  events
-- Writes: streams.messages.fiftieth
-- Key:    tenant/task/thread_seq
CREATE TABLE events (
    id           TEXT NOT NULL,
    type         TEXT NOT NULL,
    "tenantId"   TEXT NOT NULL,
    "receivedAt" TIMESTAMP NOT NULL,
    project      JSON,
    task         JSON,
    message      JSON,
    WATERMARK FOR receivedAt AS "receivedAt" - INTERVAL '5 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}events',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-fiftieth-messages',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE TABLE fiftieth (
    key          TEXT,
    "tenantId"   TEXT,
    "projectId"  TEXT,
    "taskId"     TEXT,
    "eventId"    TEXT,
    "threadSeq"  BIGINT,
    batch        BIGINT,
    "receivedAt" TIMESTAMP
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.messages.fiftieth',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO fiftieth
SELECT concat(tenant_id, '/', task_id, '/', CAST(thread_seq AS TEXT)) AS key,
       tenant_id, project_id, task_id, id, thread_seq, thread_seq / 50 AS batch, received_at
FROM (
    SELECT id, type, "tenantId" AS tenant_id, "receivedAt" AS received_at,
           json_get_str(project, 'id') AS project_id,
           json_get_str(task, 'id') AS task_id,
           json_get_int(message, 'threadSeq') AS thread_seq
    FROM events
)
WHERE type IN ('MessagePosted', 'CommentPosted') AND task_id IS NOT NULL AND thread_seq % 50 = 0;
