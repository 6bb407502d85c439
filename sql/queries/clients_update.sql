UPDATE clients
SET
    updated_at_ms = $3, role = $4, agent_id = $5, name = $6, enabled = $7, tokens_from_ms = $8
WHERE tenant_id = $1 AND id = $2
