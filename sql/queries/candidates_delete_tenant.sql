DELETE FROM candidates WHERE tenant_id = $1
