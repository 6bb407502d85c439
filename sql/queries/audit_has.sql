SELECT number FROM audit WHERE tenant_id = $1 AND id = $2
