DELETE FROM tasks WHERE tenant_id = $1
