DELETE FROM usage_days WHERE tenant_id = $1
