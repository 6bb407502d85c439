-- In the order of the log. $1: only this tenant's. $2, $3: after this place.
SELECT tenant_id, id, log_partition, log_offset, claimed, connection_id, provider, act
FROM mirror_waiting
WHERE
    ($1 IS NULL OR tenant_id = $1)
    AND (log_partition > $2 OR (log_partition = $2 AND log_offset > $3))
    AND ($5 IS NULL OR provider = $5)
    AND ($6 IS NULL OR task_id = $6)
    AND ($7 IS NULL OR agent_id = $7)
    AND ($8 IS NULL OR connection_id = $8)
ORDER BY log_partition, log_offset
LIMIT $4
