SELECT
    clients.id, clients.created_at_ms, clients.updated_at_ms, clients.role, clients.agent_id,
    clients.name, clients.enabled, clients.tokens_from_ms, clients.tenant_id,
    client_secrets.bcrypt_hash
FROM clients
JOIN client_secrets
    ON client_secrets.tenant_id = clients.tenant_id AND client_secrets.client_id = clients.id
WHERE clients.id = $1
