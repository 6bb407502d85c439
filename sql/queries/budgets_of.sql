-- Those that count for an agent: its own, and the tenant's.
SELECT scope, period, limit_micros, hard_stop
FROM budgets
WHERE tenant_id = $1 AND (scope = $2 OR scope = '_all')
ORDER BY scope
