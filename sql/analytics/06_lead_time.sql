-- How long does work take from its making to done, by project?
-- Columns: project_id, tasks, median_hours, longest_hours
SELECT
    project_id,
    count(*) AS tasks,
    round(median(hours), 1) AS median_hours,
    round(max(hours), 1) AS longest_hours
FROM (
    SELECT
        task_id,
        max(project_id) AS project_id,
        (CAST(max(occurred_at) FILTER (WHERE task_state = 'DONE') AS BIGINT)
            - CAST(min(occurred_at) FILTER (WHERE type = 'NewWorkItem') AS BIGINT)) / 3600000.0 AS hours
    FROM events
    WHERE task_id IS NOT NULL
    GROUP BY task_id
)
WHERE hours IS NOT NULL
GROUP BY project_id
ORDER BY project_id
