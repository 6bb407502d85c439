UPDATE aliases
SET
    updated_at_ms = $3, alias = $4, alias_folded = $5
WHERE tenant_id = $1 AND id = $2
