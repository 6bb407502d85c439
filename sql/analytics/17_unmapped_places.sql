-- Which lists, repositories and channels send events that no project takes?
-- Columns: provider, place, events
SELECT provider, coalesce(project_external_id, channel_id, '(unknown)') AS place, count(*) AS events
FROM events
WHERE unrouted
GROUP BY provider, coalesce(project_external_id, channel_id, '(unknown)')
ORDER BY events DESC, provider, place
