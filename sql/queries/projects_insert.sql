INSERT INTO projects (
    tenant_id, id, created_at_ms, updated_at_ms, name, workgroup_id, clickup_list_id,
    github_repository, github_repository_folded, jira_project_key, slack_channel_id, notify,
    status_map, archived, starts_at_ms, ends_at_ms
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
