DELETE FROM mirror_waiting WHERE tenant_id = $1 AND id = $2
