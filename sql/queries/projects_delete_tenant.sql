DELETE FROM projects WHERE tenant_id = $1
