SELECT id, created_at_ms, updated_at_ms, name, admin_slack_channel_id, limits
FROM tenants
WHERE id > $1
ORDER BY id
LIMIT $2
