INSERT INTO agents (
    tenant_id, id, created_at_ms, updated_at_ms, name, role, avatar, owner, capabilities, client_id,
    enabled
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10)
