SELECT tenant_id, id, data
FROM candidates
WHERE data LIKE '%"slackChannelId":"%' AND data LIKE '%"workgroupId":"%'
ORDER BY tenant_id, id
LIMIT $1
