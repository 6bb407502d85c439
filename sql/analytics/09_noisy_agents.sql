-- Which agents said the most within any ten minutes?
-- Columns: agent_id, busiest_at, messages
SELECT agent_id, busiest_at, messages
FROM (
    SELECT
        agent_id,
        start AS busiest_at,
        count(*) AS messages,
        row_number() OVER (PARTITION BY agent_id ORDER BY count(*) DESC, start) AS place
    FROM (
        SELECT agent_id, unnest(hop(INTERVAL '1 minute', INTERVAL '10 minutes', at)) AS start
        FROM agents_actions
        WHERE name = 'message'
    )
    GROUP BY agent_id, start
)
WHERE place = 1
ORDER BY messages DESC, agent_id
LIMIT 10
