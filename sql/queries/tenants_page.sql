SELECT id, created_at_ms, updated_at_ms, name, admin_slack_channel_id, limits
FROM tenants
WHERE id = $1 AND id > $2
ORDER BY id
LIMIT $3
