DELETE FROM projects WHERE tenant_id = $1 AND id = $2
