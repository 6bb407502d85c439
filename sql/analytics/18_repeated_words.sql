-- Which agents say the same thing again and again?
-- Columns: agent_id, said, times
SELECT agent_id, min(said) AS said, count(*) AS times
FROM (SELECT agent_id, json_get_str(data, 'text') AS said FROM agents_actions WHERE name = 'message')
GROUP BY agent_id, content_hash(said)
HAVING count(*) > 1
ORDER BY times DESC, agent_id
