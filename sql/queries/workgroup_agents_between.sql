SELECT workgroup_id, agent_id
FROM workgroup_agents
WHERE tenant_id = $1 AND workgroup_id >= $2 AND workgroup_id <= $3
ORDER BY workgroup_id, position
