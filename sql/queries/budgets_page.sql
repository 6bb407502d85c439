SELECT scope, period, limit_micros, hard_stop
FROM budgets
WHERE tenant_id = $1 AND scope > $2
ORDER BY scope
LIMIT $3
