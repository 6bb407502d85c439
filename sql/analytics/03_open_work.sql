-- How much work is open, by project and state?
-- Columns: project_id, state, tasks
SELECT coalesce(project_id, '(none)') AS project_id, state, count(*) AS tasks
FROM work_items
WHERE NOT deleted AND state <> 'DONE'
GROUP BY coalesce(project_id, '(none)'), state
ORDER BY project_id, state
