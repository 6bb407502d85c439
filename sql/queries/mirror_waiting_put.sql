INSERT INTO mirror_waiting (
    tenant_id, id, log_partition, log_offset, claimed, connection_id, provider, task_id, agent_id, at_ms, act
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (tenant_id, id) DO NOTHING
