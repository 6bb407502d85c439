INSERT INTO vectors (
    tenant_id, model, id, project_id, change, changed_ms, is_gone, text_id, kind, task_id, channel_id, thread_ts,
    author, trust, at_ms, text, codes
)
VALUES (
    $1, $2, $3, $4,
    (SELECT coalesce(max(known.change), 0) + 1 FROM vectors AS known WHERE known.tenant_id = $1 AND known.model = $2 AND known.project_id = $4),
    $5, FALSE, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
)
ON CONFLICT (tenant_id, model, id) DO UPDATE SET
    change = excluded.change, changed_ms = excluded.changed_ms, is_gone = FALSE, text_id = excluded.text_id,
    kind = excluded.kind, task_id = excluded.task_id, channel_id = excluded.channel_id,
    thread_ts = excluded.thread_ts, author = excluded.author, trust = excluded.trust, at_ms = excluded.at_ms,
    text = excluded.text, codes = excluded.codes
