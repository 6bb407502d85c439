-- A row an agent and hour in which it said something, by what it said.
SELECT
    agent_id,
    date_bin(INTERVAL '1 hour', at) AS hour,
    count(*) AS actions,
    count(*) FILTER (WHERE name = 'message') AS messages,
    count(*) FILTER (WHERE name = 'status_update') AS status_updates,
    count(*) FILTER (WHERE name = 'tool_request') AS tool_requests,
    count(*) FILTER (WHERE name = 'usage') AS usage_reports,
    min(at) AS first_at,
    max(at) AS last_at
FROM agents_actions
GROUP BY agent_id, date_bin(INTERVAL '1 hour', at)
