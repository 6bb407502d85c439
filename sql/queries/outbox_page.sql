SELECT number, tenant_id, kind, row_id, data, at_ms
FROM outbox
ORDER BY number
LIMIT $1
