INSERT INTO user_external_ids (tenant_id, user_id, position, provider, external_id)
VALUES ($1, $2, $3, $4, $5)
