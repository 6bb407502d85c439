DELETE FROM summaries
WHERE tenant_id = $1 AND thread_ts = $2 AND ($3 IS NULL OR channel_id = $3)
