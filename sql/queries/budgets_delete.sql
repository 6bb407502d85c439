DELETE FROM budgets WHERE tenant_id = $1 AND scope = $2
