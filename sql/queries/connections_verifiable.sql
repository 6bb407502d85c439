-- Connections whose requests can be verified, of all tenants.
SELECT COUNT(*)
FROM connections
WHERE enabled AND sealed_secrets <> '[]'
