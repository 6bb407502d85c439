INSERT INTO audit (tenant_id, number, id, at_ms, action, agent_id, task_id, trace_id, data, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
