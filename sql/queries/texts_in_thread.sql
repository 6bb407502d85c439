SELECT id
FROM texts
WHERE tenant_id = $1 AND thread_ts = $2 AND ($3 IS NULL OR channel_id = $3) AND revised_ms <= $4 AND NOT is_gone
ORDER BY id
LIMIT 500
