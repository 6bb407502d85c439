-- What a tenant's agents may do, where that differs from the hub's own limits:
-- a JSON object, as the API takes it.
ALTER TABLE tenants ADD COLUMN limits TEXT;
