SELECT count(*) FROM vectors WHERE tenant_id = $1 AND model = $2 AND NOT is_gone
