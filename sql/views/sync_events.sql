-- A row a command to a provider, with what has become of it so far.
SELECT
    command.id AS command_id,
    command.provider,
    command.kind,
    command.project_id,
    command.task_id,
    command.connection_id,
    command.agent_id,
    command.attempt,
    command.at,
    coalesce(result.stage, 'waiting') AS stage,
    result.code,
    result.error,
    result.at AS ended_at,
    command.trace_id
FROM mirror_commands AS command
LEFT JOIN (
    SELECT
        command_id,
        last_value(stage ORDER BY log_offset) AS stage,
        last_value(code ORDER BY log_offset) AS code,
        last_value(error ORDER BY log_offset) AS error,
        last_value(at ORDER BY log_offset) AS at
    FROM mirror_results
    GROUP BY command_id
) AS result ON result.command_id = command.id
