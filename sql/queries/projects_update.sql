UPDATE projects
SET
    updated_at_ms = $3, name = $4, workgroup_id = $5, clickup_list_id = $6, github_repository = $7,
    github_repository_folded = $8, jira_project_key = $9, slack_channel_id = $10, notify = $11,
    status_map = $12, archived = $13, starts_at_ms = $14, ends_at_ms = $15
WHERE tenant_id = $1 AND id = $2
