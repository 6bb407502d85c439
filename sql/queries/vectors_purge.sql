-- Not the newest of a project: numbers go on behind it.
DELETE FROM vectors
WHERE
    is_gone AND changed_ms < $1
    AND change < (
        SELECT max(known.change) FROM vectors AS known
        WHERE known.tenant_id = vectors.tenant_id AND known.model = vectors.model AND known.project_id = vectors.project_id
    )
