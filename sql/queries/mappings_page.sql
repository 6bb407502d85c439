SELECT
    id, created_at_ms, updated_at_ms, external_system, external_email, external_user_id, resource_id
FROM mappings
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
