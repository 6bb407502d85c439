DELETE FROM upkeep WHERE tenant_id = $1
