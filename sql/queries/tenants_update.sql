UPDATE tenants
SET updated_at_ms = $3, name = $4, admin_slack_channel_id = $5, limits = $6
WHERE id = $1 AND id = $2
