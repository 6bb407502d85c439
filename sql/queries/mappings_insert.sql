INSERT INTO mappings (
    tenant_id, id, created_at_ms, updated_at_ms, external_system, external_email,
    external_email_folded, external_user_id, resource_id
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8)
