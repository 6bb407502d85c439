INSERT INTO tasks (
    tenant_id, id, log_partition, log_offset, external_id, project_id, state, channel_id, thread_ts,
    updated_at_ms, data
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    log_partition = excluded.log_partition, log_offset = excluded.log_offset,
    external_id = excluded.external_id, project_id = excluded.project_id, state = excluded.state,
    channel_id = excluded.channel_id, thread_ts = excluded.thread_ts,
    updated_at_ms = excluded.updated_at_ms, data = excluded.data
WHERE excluded.log_offset > tasks.log_offset
