INSERT INTO clients (
    tenant_id, id, created_at_ms, updated_at_ms, role, agent_id, name, enabled, tokens_from_ms
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)
