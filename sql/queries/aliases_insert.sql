INSERT INTO aliases (
    tenant_id, id, created_at_ms, updated_at_ms, alias, alias_folded
)
VALUES ($1, $2, $3, $3, $4, $5)
