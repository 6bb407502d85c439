SELECT id, data
FROM tasks
WHERE tenant_id = $1 AND external_id = $2
ORDER BY id
LIMIT 1
