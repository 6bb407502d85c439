INSERT INTO notices (
    tenant_id, id, log_partition, log_offset, data
)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    log_partition = excluded.log_partition, log_offset = excluded.log_offset, data = excluded.data
WHERE excluded.log_offset > notices.log_offset
