UPDATE mirror_waiting SET claimed = TRUE WHERE tenant_id = $1 AND id = $2
