INSERT INTO budget_told (tenant_id, scope, period, percent)
VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, scope) DO UPDATE SET period = excluded.period, percent = excluded.percent
