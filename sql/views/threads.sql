-- A row a thread or task that people and agents spoke in: from the first word
-- to the last. What the mirror wrote and what came back of it are not counted.
SELECT
    coalesce(task_id, channel_id || '/' || thread_ts) AS thread,
    max(task_id) AS task_id,
    max(project_id) AS project_id,
    max(channel_id) AS channel_id,
    max(thread_ts) AS thread_ts,
    max(task_title) AS title,
    count(*) AS messages,
    count(*) FILTER (WHERE actor_kind = 'agent') AS agent_messages,
    count(DISTINCT coalesce(actor_agent_id, actor_id)) AS authors,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM events
WHERE type IN ('MessagePosted', 'CommentPosted')
    AND NOT echo
    AND coalesce(task_id, thread_ts) IS NOT NULL
GROUP BY coalesce(task_id, channel_id || '/' || thread_ts)
