DELETE FROM summaries WHERE tenant_id = $1
