-- By day, agent, project and model; $2 to $5 are those of the last row before.
SELECT day, agent_id, project_id, model, reports, calls, input_tokens, output_tokens, cost_micros
FROM usage_days
WHERE
    tenant_id = $1
    AND (day, agent_id, project_id, model) > ($2, $3, $4, $5)
    AND ($7 IS NULL OR agent_id = $7)
    AND ($8 IS NULL OR project_id = $8)
    AND ($9 IS NULL OR model = $9)
    AND ($10 IS NULL OR day >= $10)
    AND ($11 IS NULL OR day <= $11)
ORDER BY day, agent_id, project_id, model
LIMIT $6
