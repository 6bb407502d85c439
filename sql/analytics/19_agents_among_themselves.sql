-- In which threads do agents talk and people do not?
-- Columns: thread, title, messages, agent_messages
SELECT thread, title, messages, agent_messages
FROM threads
WHERE agent_messages >= 2 AND agent_messages * 2 > messages
ORDER BY agent_messages DESC, thread
