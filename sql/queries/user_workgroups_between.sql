SELECT user_id, workgroup_id, role
FROM user_workgroups
WHERE tenant_id = $1 AND user_id >= $2 AND user_id <= $3
ORDER BY user_id, workgroup_id
