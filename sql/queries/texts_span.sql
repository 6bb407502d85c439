SELECT id, project_id, kind, task_id, channel_id, thread_ts, thread_seq, author, trust, at_ms, revised_ms, text
FROM texts
WHERE
    tenant_id = $1 AND task_id = $2 AND thread_seq > $3 AND thread_seq <= $4
    AND kind IN ('message', 'comment') AND NOT is_gone
ORDER BY thread_seq
LIMIT 1000
