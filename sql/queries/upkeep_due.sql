SELECT tenant_id, kind, id, version, due_at_ms, data
FROM upkeep
WHERE due_at_ms <= $1
ORDER BY due_at_ms
LIMIT $2
