SELECT agent_id, provider, external_id
FROM agent_external_ids
WHERE tenant_id = $1 AND agent_id >= $2 AND agent_id <= $3
ORDER BY agent_id, position
