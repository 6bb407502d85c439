DELETE FROM alias_agents WHERE tenant_id = $1 AND agent_id = $2
RETURNING alias_id
