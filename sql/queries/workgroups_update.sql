UPDATE workgroups
SET
    updated_at_ms = $3, name = $4, name_folded = $5, slack_channel_id = $6, clickup_space_id = $7,
    clickup_folder_id = $8, on_list_created = $9
WHERE tenant_id = $1 AND id = $2
