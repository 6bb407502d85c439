SELECT id FROM aliases WHERE tenant_id = $1 AND alias_folded = $2
