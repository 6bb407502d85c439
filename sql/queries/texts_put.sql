-- An older wording never replaces a newer one.
INSERT INTO texts (
    tenant_id, id, project_id, kind, task_id, channel_id, thread_ts, thread_seq, author, trust, at_ms,
    revised_ms, text, is_gone
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, FALSE)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    project_id = excluded.project_id, kind = excluded.kind, task_id = excluded.task_id,
    channel_id = excluded.channel_id, thread_ts = excluded.thread_ts, thread_seq = excluded.thread_seq,
    author = excluded.author, trust = excluded.trust, at_ms = excluded.at_ms, revised_ms = excluded.revised_ms,
    text = excluded.text, is_gone = FALSE
WHERE excluded.revised_ms >= texts.revised_ms
