INSERT INTO client_secrets (tenant_id, client_id, bcrypt_hash)
VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, client_id) DO UPDATE SET bcrypt_hash = excluded.bcrypt_hash
