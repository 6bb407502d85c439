-- How much comes in, from whom, day by day?
-- Columns: day, provider, events
SELECT date_bin(INTERVAL '1 day', received_at) AS day, provider, count(*) AS events
FROM events
GROUP BY date_bin(INTERVAL '1 day', received_at), provider
ORDER BY day, provider
