DELETE FROM texts WHERE tenant_id = $1
