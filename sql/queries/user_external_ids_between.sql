SELECT user_id, provider, external_id
FROM user_external_ids
WHERE tenant_id = $1 AND user_id >= $2 AND user_id <= $3
ORDER BY user_id, position
