UPDATE projects SET workgroup_id = NULL WHERE tenant_id = $1 AND workgroup_id = $2
RETURNING id
