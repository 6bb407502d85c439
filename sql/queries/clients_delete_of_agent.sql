DELETE FROM clients WHERE tenant_id = $1 AND agent_id = $2
RETURNING id
