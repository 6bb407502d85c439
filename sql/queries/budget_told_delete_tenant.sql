DELETE FROM budget_told WHERE tenant_id = $1
