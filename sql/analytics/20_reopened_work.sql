-- Which tasks were done and then were not?
-- Columns: task_id, title, reopened
SELECT task_id, max(task_title) AS title, count(*) AS reopened
FROM (
    SELECT
        task_id,
        task_title,
        task_state,
        lag(task_state) OVER (PARTITION BY task_id ORDER BY log_offset) AS before
    FROM events
    WHERE task_id IS NOT NULL AND task_state IS NOT NULL
)
WHERE before = 'DONE' AND task_state <> 'DONE'
GROUP BY task_id
ORDER BY reopened DESC, task_id
