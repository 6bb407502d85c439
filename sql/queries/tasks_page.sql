-- $4: only this state. $5: only of these projects, as `,id,id,`: what is left of
-- the list without the project tells whether it was on it, in either engine.
SELECT id, data
FROM tasks
WHERE
    tenant_id = $1
    AND id > $2
    AND ($4 IS NULL OR state = $4)
    AND ($5 IS NULL OR replace($5, ',' || project_id || ',', '') <> $5)
ORDER BY id
LIMIT $3
