-- As many at once as fit; what is not asked for is empty.
SELECT id, text_id, project_id, kind, task_id, channel_id, thread_ts, author, trust, at_ms, text
FROM vectors
WHERE
    tenant_id = $1 AND model = $2 AND NOT is_gone AND replace($3, ',' || project_id || ',', '') <> $3
    AND id IN (
        $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
        $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35
    )
