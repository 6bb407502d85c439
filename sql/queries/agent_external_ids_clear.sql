DELETE FROM agent_external_ids WHERE tenant_id = $1 AND agent_id = $2
