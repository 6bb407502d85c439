-- Which names are called the most, and by how many people?
-- Columns: alias, calls, callers
SELECT json_get_str(mention, 'alias') AS alias, count(*) AS calls, count(DISTINCT actor_id) AS callers
FROM (SELECT unnest(mentioned) AS mention, actor_id FROM events)
GROUP BY json_get_str(mention, 'alias')
ORDER BY calls DESC, alias
