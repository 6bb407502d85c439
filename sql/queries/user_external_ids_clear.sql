DELETE FROM user_external_ids WHERE tenant_id = $1 AND user_id = $2
