DELETE FROM clients WHERE tenant_id = $1
