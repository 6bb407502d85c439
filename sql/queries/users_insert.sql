INSERT INTO users (
    tenant_id, id, created_at_ms, updated_at_ms, name, email, email_folded, role
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7)
