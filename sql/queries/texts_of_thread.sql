-- $5: only of these projects, as `,id,id,`. $6 and $7: behind this place.
SELECT id, project_id, kind, task_id, channel_id, thread_ts, thread_seq, author, trust, at_ms, revised_ms, text
FROM texts
WHERE
    tenant_id = $1
    AND (task_id = $2 OR (channel_id = $3 AND thread_ts = $4))
    AND kind IN ('message', 'comment')
    AND NOT is_gone
    AND ($5 IS NULL OR replace($5, ',' || project_id || ',', '') <> $5)
    AND (at_ms > $6 OR (at_ms = $6 AND id > $7))
ORDER BY at_ms, id
LIMIT $8
