INSERT INTO outbox (tenant_id, kind, row_id, data, at_ms)
VALUES ($1, $2, $3, $4, $5)
