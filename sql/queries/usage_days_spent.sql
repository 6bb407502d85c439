-- $2: from this day on. $3: only this agent's.
SELECT CAST(coalesce(sum(cost_micros), 0) AS BIGINT)
FROM usage_days
WHERE tenant_id = $1 AND day >= $2 AND day <= $3 AND ($4 IS NULL OR agent_id = $4)
