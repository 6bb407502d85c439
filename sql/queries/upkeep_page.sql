SELECT tenant_id, kind, id, version, due_at_ms, data
FROM upkeep
WHERE tenant_id = $1 AND kind = $2 AND id > $3
ORDER BY id
LIMIT $4
