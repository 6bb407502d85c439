UPDATE connections
SET
    updated_at_ms = $3, provider = $4, external_id = $5, name = $6, sealed_secrets = $7,
    sealed_token = $8, base_url = $9, email = $10, own_ids = $11, filters = $12, enabled = $13
WHERE tenant_id = $1 AND id = $2
