INSERT INTO audit_heads (tenant_id, number, hash)
VALUES ($1, $2, $3)
ON CONFLICT (tenant_id) DO UPDATE SET number = excluded.number, hash = excluded.hash
