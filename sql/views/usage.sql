-- A row a report of an agent on the models that it called.
SELECT
    agent_id,
    json_get_str(data, 'model') AS model,
    coalesce(json_get_int(data, 'inputTokens'), 0) AS input_tokens,
    coalesce(json_get_int(data, 'outputTokens'), 0) AS output_tokens,
    coalesce(json_get_int(data, 'calls'), 1) AS calls,
    json_get_float(data, 'cost') AS cost,
    at,
    trace_id
FROM agents_actions
WHERE name = 'usage'
