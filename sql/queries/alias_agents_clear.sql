DELETE FROM alias_agents WHERE tenant_id = $1 AND alias_id = $2
