UPDATE mappings
SET
    updated_at_ms = $3, external_system = $4, external_email = $5, external_email_folded = $6,
    external_user_id = $7, resource_id = $8
WHERE tenant_id = $1 AND id = $2
