DELETE FROM candidates WHERE tenant_id = $1 AND id = $2
