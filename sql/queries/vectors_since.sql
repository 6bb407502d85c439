-- A change may have several rows, so a part ends behind a whole one: it is read
-- on from (change, id).
SELECT id, change, is_gone, text_id, kind, task_id, thread_ts, author, at_ms, codes, text
FROM vectors
WHERE
    tenant_id = $1 AND model = $2 AND project_id = $3
    AND (change > $4 OR (change = $4 AND id > $5))
ORDER BY change, id
LIMIT 2000
