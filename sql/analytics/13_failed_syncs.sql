-- What could not be written at the providers, and why?
-- Columns: provider, kind, code, commands
SELECT provider, kind, coalesce(code, '(none)') AS code, count(*) AS commands
FROM sync_events
WHERE stage IN ('failed', 'uncertain')
GROUP BY provider, kind, coalesce(code, '(none)')
ORDER BY commands DESC, provider, kind, code
