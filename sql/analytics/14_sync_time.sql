-- How long does it take until a provider has what the hub decided?
-- Columns: provider, commands, waiting, median_ms
SELECT
    provider,
    count(*) AS commands,
    count(*) FILTER (WHERE stage IN ('waiting', 'claimed')) AS waiting,
    CAST(median(CAST(ended_at AS BIGINT) - CAST(at AS BIGINT)) FILTER (WHERE stage = 'done') AS BIGINT) AS median_ms
FROM sync_events
GROUP BY provider
ORDER BY provider
