DELETE FROM unrouted WHERE tenant_id = $1
