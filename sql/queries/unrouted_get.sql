SELECT id, data FROM unrouted WHERE tenant_id = $1 AND id = $2
