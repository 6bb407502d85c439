UPDATE upkeep
SET version = version + 1, due_at_ms = $5, data = $6
WHERE tenant_id = $1 AND kind = $2 AND id = $3 AND version = $4
