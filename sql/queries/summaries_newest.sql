SELECT project_id, task_id, channel_id, thread_ts, through, text, trust, model, made_ms
FROM summaries
WHERE tenant_id = $1 AND task_id = $2 AND through <= $3
ORDER BY through DESC
LIMIT 1
