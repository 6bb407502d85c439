-- At which hours of the day (UTC) is the most going on?
-- Columns: hour, events, share
SELECT
    CAST(date_part('hour', received_at) AS BIGINT) AS hour,
    count(*) AS events,
    round(count(*) * 100.0 / sum(count(*)) OVER (), 1) AS share
FROM events
GROUP BY date_part('hour', received_at)
ORDER BY events DESC, hour
LIMIT 10
