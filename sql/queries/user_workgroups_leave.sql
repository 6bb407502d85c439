DELETE FROM user_workgroups WHERE tenant_id = $1 AND workgroup_id = $2
RETURNING user_id
