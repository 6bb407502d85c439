INSERT INTO upkeep (tenant_id, kind, id, version, due_at_ms, data)
VALUES ($1, $2, $3, 1, $4, $5)
ON CONFLICT (tenant_id, kind, id) DO NOTHING
