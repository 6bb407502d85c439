SELECT
    id, created_at_ms, updated_at_ms, name, slack_channel_id, clickup_space_id, clickup_folder_id,
    on_list_created
FROM workgroups
WHERE tenant_id = $1 AND id = $2
