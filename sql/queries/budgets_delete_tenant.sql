DELETE FROM budgets WHERE tenant_id = $1
