SELECT id, data FROM tasks WHERE tenant_id = $1 AND id = $2
