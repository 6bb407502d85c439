SELECT alias_id, agent_id
FROM alias_agents
WHERE tenant_id = $1 AND alias_id >= $2 AND alias_id <= $3
ORDER BY alias_id, position
