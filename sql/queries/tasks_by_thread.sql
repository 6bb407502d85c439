SELECT id FROM tasks WHERE tenant_id = $1 AND channel_id = $2 AND thread_ts = $3 ORDER BY id LIMIT 1
