DELETE FROM tenants WHERE id = $1 AND id = $2
