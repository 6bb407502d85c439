INSERT INTO summaries (tenant_id, task_id, through, project_id, channel_id, thread_ts, trust, model, made_ms, text)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, task_id, through) DO NOTHING
