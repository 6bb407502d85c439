SELECT
    id, created_at_ms, updated_at_ms, alias
FROM aliases
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
