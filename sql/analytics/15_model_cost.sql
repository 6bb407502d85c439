-- What do the agents' models cost?
-- Columns: agent_id, model, calls, input_tokens, output_tokens, cost
SELECT
    agent_id,
    model,
    sum(calls) AS calls,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    round(sum(cost), 4) AS cost
FROM "usage"
GROUP BY agent_id, model
ORDER BY agent_id, model
