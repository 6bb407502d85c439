INSERT INTO connections (
    tenant_id, id, created_at_ms, updated_at_ms, provider, external_id, name, sealed_secrets,
    sealed_token, base_url, email, own_ids, filters, enabled
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
