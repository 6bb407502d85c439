SELECT
    id, created_at_ms, updated_at_ms, provider, external_id, name, sealed_secrets, sealed_token,
    base_url, email, own_ids, filters, enabled
FROM connections
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
