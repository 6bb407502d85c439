DELETE FROM mappings WHERE tenant_id = $1 AND resource_id = $2
RETURNING id
