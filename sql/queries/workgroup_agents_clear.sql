DELETE FROM workgroup_agents WHERE tenant_id = $1 AND workgroup_id = $2
