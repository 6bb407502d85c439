INSERT INTO workgroups (
    tenant_id, id, created_at_ms, updated_at_ms, name, name_folded, slack_channel_id,
    clickup_space_id, clickup_folder_id, on_list_created
)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)
