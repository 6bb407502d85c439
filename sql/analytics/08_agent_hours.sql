-- What did each agent do, hour by hour?
-- Columns: agent_id, hour, messages, status_updates, tool_requests
SELECT agent_id, hour, messages, status_updates, tool_requests
FROM agent_activity
ORDER BY agent_id, hour
