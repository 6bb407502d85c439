SELECT id, project_id, kind, task_id, channel_id, thread_ts, thread_seq, author, trust, at_ms, revised_ms, text, tenant_id
FROM texts
WHERE (tenant_id > $1 OR (tenant_id = $1 AND id > $2)) AND NOT is_gone
ORDER BY tenant_id, id
LIMIT $3
