SELECT
    id, created_at_ms, updated_at_ms, name, workgroup_id, clickup_list_id, github_repository,
    jira_project_key, slack_channel_id, notify, status_map, archived, starts_at_ms, ends_at_ms
FROM projects
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
