UPDATE agents
SET
    updated_at_ms = $3, name = $4, role = $5, avatar = $6, owner = $7, capabilities = $8,
    client_id = $9, enabled = $10
WHERE tenant_id = $1 AND id = $2
