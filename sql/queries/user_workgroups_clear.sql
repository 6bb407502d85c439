DELETE FROM user_workgroups WHERE tenant_id = $1 AND user_id = $2
