DELETE FROM workgroup_agents WHERE tenant_id = $1 AND agent_id = $2
RETURNING workgroup_id
