DELETE FROM connections WHERE tenant_id = $1 AND id = $2
