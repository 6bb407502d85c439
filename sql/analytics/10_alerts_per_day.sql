-- What was somebody told to look at, day by day?
-- Columns: day, kind, severity, alerts
SELECT date_bin(INTERVAL '1 day', at) AS day, kind, severity, count(*) AS alerts
FROM alerts
GROUP BY date_bin(INTERVAL '1 day', at), kind, severity
ORDER BY day, kind, severity
