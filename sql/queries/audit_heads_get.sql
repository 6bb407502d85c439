SELECT number, hash FROM audit_heads WHERE tenant_id = $1
