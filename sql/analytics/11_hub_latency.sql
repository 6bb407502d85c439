-- How long does the hub keep events before agents are told, by provider?
-- Columns: provider, events, median_ms, p95_ms, longest_ms
SELECT
    provider,
    count(*) AS events,
    CAST(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) AS BIGINT) AS median_ms,
    CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS BIGINT) AS p95_ms,
    max(latency_ms) AS longest_ms
FROM dispatch_latency
GROUP BY provider
ORDER BY provider
