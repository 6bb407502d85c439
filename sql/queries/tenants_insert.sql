INSERT INTO tenants (id, created_at_ms, updated_at_ms, name, admin_slack_channel_id, limits)
VALUES ($2, $3, $3, $4, $5, $6)
