DELETE FROM notices WHERE tenant_id = $1
