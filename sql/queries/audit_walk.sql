-- In order, whole, to be held against the hashes.
SELECT number, id, at_ms, action, agent_id, task_id, trace_id, data, hash
FROM audit
WHERE tenant_id = $1 AND number > $2
ORDER BY number
LIMIT $3
