INSERT INTO alias_agents (tenant_id, alias_id, position, agent_id)
VALUES ($1, $2, $3, $4)
