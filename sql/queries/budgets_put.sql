INSERT INTO budgets (tenant_id, scope, period, limit_micros, hard_stop, updated_at_ms)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, scope) DO UPDATE SET
    period = excluded.period, limit_micros = excluded.limit_micros, hard_stop = excluded.hard_stop,
    updated_at_ms = excluded.updated_at_ms
