INSERT INTO texts (tenant_id, id, project_id, kind, trust, at_ms, revised_ms, text, is_gone)
VALUES ($1, $2, '', 'message', 'unknown', $3, $3, '', TRUE)
ON CONFLICT (tenant_id, id) DO UPDATE SET revised_ms = excluded.revised_ms, text = '', is_gone = TRUE
WHERE excluded.revised_ms >= texts.revised_ms
