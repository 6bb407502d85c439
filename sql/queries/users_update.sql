UPDATE users
SET
    updated_at_ms = $3, name = $4, email = $5, email_folded = $6, role = $7
WHERE tenant_id = $1 AND id = $2
