INSERT INTO usage_days (
    tenant_id, day, agent_id, project_id, model, reports, calls, input_tokens, output_tokens, cost_micros
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (tenant_id, day, agent_id, project_id, model) DO UPDATE SET
    reports = usage_days.reports + excluded.reports, calls = usage_days.calls + excluded.calls,
    input_tokens = usage_days.input_tokens + excluded.input_tokens,
    output_tokens = usage_days.output_tokens + excluded.output_tokens,
    cost_micros = usage_days.cost_micros + excluded.cost_micros
