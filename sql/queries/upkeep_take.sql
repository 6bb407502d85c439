DELETE FROM upkeep WHERE tenant_id = $1 AND kind = $2 AND id = $3 AND version = $4
