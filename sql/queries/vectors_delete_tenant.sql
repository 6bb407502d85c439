DELETE FROM vectors WHERE tenant_id = $1
