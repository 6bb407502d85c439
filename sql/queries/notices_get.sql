SELECT id, data FROM notices WHERE tenant_id = $1 AND id = $2
