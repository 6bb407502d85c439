INSERT INTO workgroup_agents (tenant_id, workgroup_id, position, agent_id)
VALUES ($1, $2, $3, $4)
