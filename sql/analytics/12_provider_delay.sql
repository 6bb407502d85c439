-- How late do providers report what happened?
-- Columns: provider, events, median_ms, longest_ms
SELECT
    provider,
    count(*) AS events,
    CAST(median(CAST(received_at AS BIGINT) - CAST(occurred_at AS BIGINT)) AS BIGINT) AS median_ms,
    max(CAST(received_at AS BIGINT) - CAST(occurred_at AS BIGINT)) AS longest_ms
FROM events
GROUP BY provider
ORDER BY provider
