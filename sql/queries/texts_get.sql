SELECT
    id, project_id, kind, task_id, channel_id, thread_ts, thread_seq, author, trust, at_ms, revised_ms, text, is_gone
FROM texts
WHERE tenant_id = $1 AND id = $2
