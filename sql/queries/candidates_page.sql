SELECT id, data
FROM candidates
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
