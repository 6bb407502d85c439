-- A row an event and agent that was to be told of it.
SELECT
    json_get_str(addressee, 'agentId') AS agent_id,
    coalesce(json_get_str(addressee, 'name'), name) AS name,
    json_get_int(addressee, 'seq') AS seq,
    id AS inbox_id,
    event_id,
    event_type,
    project_id,
    task_id,
    event_received_at AS received_at,
    at,
    trace_id
FROM (
    SELECT unnest(addressees) AS addressee, name, id, event_id, event_type, project_id, task_id,
        event_received_at, at, trace_id
    FROM agents_inbox
)
