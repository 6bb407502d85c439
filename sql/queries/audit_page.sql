-- The newest first; $2 is the number of the last one of the page before.
SELECT number, data, hash
FROM audit
WHERE
    tenant_id = $1
    AND ($2 IS NULL OR number < $2)
    AND ($4 IS NULL OR agent_id = $4)
    AND ($5 IS NULL OR task_id = $5)
    AND ($6 IS NULL OR trace_id = $6)
    AND ($7 IS NULL OR action = $7)
    AND ($8 IS NULL OR at_ms >= $8)
    AND ($9 IS NULL OR at_ms < $9)
ORDER BY number DESC
LIMIT $3
