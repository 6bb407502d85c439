UPDATE vectors
SET
    change = (
        SELECT coalesce(max(known.change), 0) + 1 FROM vectors AS known
        WHERE known.tenant_id = $1 AND known.model = $2 AND known.project_id = vectors.project_id
    ),
    changed_ms = $4, is_gone = TRUE, text = '', codes = ''
WHERE tenant_id = $1 AND model = $2 AND text_id = $3 AND NOT is_gone
