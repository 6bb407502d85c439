-- Which open tasks has nobody touched for three days (before the newest event)?
-- Columns: task_id, title, state, updated_at
SELECT task_id, title, state, updated_at
FROM work_items
WHERE NOT deleted
    AND state <> 'DONE'
    AND updated_at < (SELECT max(received_at) FROM events) - INTERVAL '3 days'
ORDER BY updated_at, task_id
