-- A row something that an agent asked for or the mirror did at a provider, newest
-- knowledge of each.
SELECT
    id,
    agent_id,
    'agent' AS actor,
    name AS action,
    NULL AS provider,
    NULL AS project_id,
    json_get_str(data, 'taskId') AS task_id,
    json_get_str(data, 'text') AS text,
    'asked' AS stage,
    at,
    trace_id
FROM agents_actions
WHERE name IN ('message', 'status_update', 'tool_request')
UNION ALL
SELECT
    command.id,
    command.agent_id,
    'mirror' AS actor,
    command.kind AS action,
    command.provider,
    command.project_id,
    command.task_id,
    command.text,
    coalesce(result.stage, 'waiting') AS stage,
    command.at,
    command.trace_id
FROM mirror_commands AS command
LEFT JOIN (
    SELECT command_id, last_value(stage ORDER BY log_offset) AS stage FROM mirror_results GROUP BY command_id
) AS result ON result.command_id = command.id
