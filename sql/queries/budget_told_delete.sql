DELETE FROM budget_told WHERE tenant_id = $1 AND scope = $2
