INSERT INTO user_workgroups (tenant_id, user_id, workgroup_id, role)
VALUES ($1, $2, $3, $4)
