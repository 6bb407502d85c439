-- A row a task as it stands: what the pipeline keeps of it.
SELECT
    key_id AS task_id,
    json_get_str(data, 'provider') AS provider,
    json_get_str(data, 'externalId') AS external_id,
    json_get_str(data, 'projectId') AS project_id,
    json_get_str(data, 'title') AS title,
    json_get_str(data, 'state') AS state,
    json_get_str(data, 'status') AS status,
    json_get_str(data, 'priority') AS priority,
    json_get_str(data, 'channelId') AS channel_id,
    json_get_str(data, 'threadTs') AS thread_ts,
    json_get_int(data, 'threadSeq') AS messages,
    json_get_str(data, 'url') AS url,
    arrow_cast(json_get_str(data, 'createdAt'), 'Timestamp(Millisecond, Some("+00:00"))') AS created_at,
    arrow_cast(json_get_str(data, 'updatedAt'), 'Timestamp(Millisecond, Some("+00:00"))') AS updated_at,
    coalesce(json_get_bool(data, 'deleted'), false) AS deleted
FROM pipeline_state
WHERE key_kind = 'task'
