SELECT tenant_id, id
FROM notices
WHERE id LIKE 'project:%'
ORDER BY tenant_id, id
LIMIT $1
