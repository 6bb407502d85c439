SELECT
    id, created_at_ms, updated_at_ms, role, agent_id, name, enabled, tokens_from_ms
FROM clients
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
