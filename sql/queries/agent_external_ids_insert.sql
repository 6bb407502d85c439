INSERT INTO agent_external_ids (tenant_id, agent_id, position, provider, external_id)
VALUES ($1, $2, $3, $4, $5)
