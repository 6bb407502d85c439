-- How long do people wait for an agent's first word after a task is made?
-- Columns: task_id, title, minutes
SELECT
    made.task_id,
    made.title,
    round((CAST(min(said.occurred_at) AS BIGINT) - CAST(made.at AS BIGINT)) / 60000.0, 1) AS minutes
FROM (
    SELECT task_id, max(task_title) AS title, min(occurred_at) AS at
    FROM events WHERE type = 'NewWorkItem' GROUP BY task_id
) AS made
JOIN events AS said
    ON said.task_id = made.task_id AND said.actor_kind = 'agent' AND said.occurred_at >= made.at
WHERE said.type IN ('MessagePosted', 'CommentPosted')
GROUP BY made.task_id, made.title, made.at
ORDER BY minutes DESC, made.task_id
