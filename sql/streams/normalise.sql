-- What do the senders report, before the pipeline has looked at it? Each verified
-- request as one slim row (who, what, when, what was said), and what is no JSON
-- as a dead letter. `event` is the provider's own name, `type` the hub's, as far
-- as one request can tell it: the pipeline's `events` know more (project, task,
-- actor, which of two reports of one thing counts) and stay the truth. Repeats
-- are rows of their own here. `words` and `textHash` make alike texts equal:
-- the first whatever their numbers, case and markup, the second only their
-- white space.
--
-- Reads:  webhooks.raw
-- Writes: streams.events, streams.dead.letters
-- Key:    tenant/partition/offset of the request
-- Calls:  normalise, content_hash
CREATE TABLE webhooks (
    "tenantId"      TEXT NOT NULL,
    provider        TEXT NOT NULL,
    "connectionId"  TEXT,
    "deliveryId"    TEXT,
    "receivedAt"    TIMESTAMP NOT NULL,
    "contentType"   TEXT,
    headers         JSON,
    body            TEXT,
    kafka_offset    BIGINT METADATA FROM 'offset_id',
    kafka_partition INT METADATA FROM 'partition',
    WATERMARK FOR receivedAt AS "receivedAt" - INTERVAL '5 seconds'
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}webhooks.raw',
    type = 'source',
    format = 'json',
    'source.offset' = 'earliest',
    'source.group_id' = '{{ prefix }}streams-normalise',
    'source.read_mode' = 'read_committed',
    bad_data = 'drop'
);

CREATE VIEW requests AS
SELECT concat("tenantId", '/', CAST(kafka_partition AS TEXT), '/', CAST(kafka_offset AS TEXT)) AS key,
       "tenantId" AS tenant_id, provider, "connectionId" AS connection_id, "deliveryId" AS delivery_id,
       "receivedAt" AS received_at, kafka_partition, kafka_offset, body,
       -- Slack's buttons and GitHub's older hooks come as forms: known, not read.
       coalesce("contentType", json_get_str(headers, 'content-type'), '')
           LIKE 'application/x-www-form-urlencoded%' AS is_form,
       json_length(body) IS NOT NULL AS is_json,
       CASE provider
           WHEN 'clickup' THEN json_get_str(body, 'event')
           WHEN 'slack' THEN coalesce(
               json_get_str(body, 'event', 'type') || '.' || json_get_str(body, 'event', 'subtype'),
               json_get_str(body, 'event', 'type'),
               json_get_str(body, 'type'))
           WHEN 'github' THEN coalesce(
               json_get_str(headers, 'x-github-event') || '.' || json_get_str(body, 'action'),
               json_get_str(headers, 'x-github-event'))
           WHEN 'jira' THEN json_get_str(body, 'webhookEvent')
           ELSE coalesce(
               json_get_str(body, 'type'), json_get_str(body, 'event'), json_get_str(body, 'event', 'event_type'),
               json_get_str(body, 'event', 'type'), json_get_str(body, 'object_kind'),
               json_get_str(body, 'event_type'), json_get_str(body, 'action'))
       END AS event,
       CASE provider
           WHEN 'clickup' THEN json_get_str(body, 'history_items', 0, 'comment', 'text_content')
           WHEN 'slack' THEN coalesce(
               json_get_str(body, 'event', 'text'), json_get_str(body, 'event', 'message', 'text'))
           WHEN 'github' THEN coalesce(
               json_get_str(body, 'comment', 'body'), json_get_str(body, 'review', 'body'),
               json_get_str(body, 'issue', 'body'), json_get_str(body, 'pull_request', 'body'))
           WHEN 'jira' THEN json_get_str(body, 'comment', 'body')
           ELSE json_get_str(body, 'text')
       END AS text,
       json_get_str(body, 'event', 'message', 'text') = json_get_str(body, 'event', 'previous_message', 'text')
           AS says_the_same
FROM webhooks;

CREATE TABLE events (
    key            TEXT,
    "tenantId"     TEXT,
    provider       TEXT,
    "connectionId" TEXT,
    "deliveryId"   TEXT,
    event          TEXT,
    type           TEXT,
    text           TEXT,
    words          TEXT,
    "textHash"     TEXT,
    "receivedAt"   TIMESTAMP
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.events',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

CREATE TABLE dead_letters (
    key          TEXT,
    "tenantId"   TEXT,
    provider     TEXT,
    "deliveryId" TEXT,
    reason       TEXT,
    body         TEXT,
    partition    INT,
    offset_id    BIGINT,
    "receivedAt" TIMESTAMP
) WITH (
    connector = 'kafka',
    bootstrap_servers = '{{ brokers }}',
    topic = '{{ prefix }}streams.dead.letters',
    type = 'sink',
    format = 'json',
    'sink.key_field' = 'key',
    'sink.commit_mode' = 'at_least_once'
);

INSERT INTO events
SELECT key, tenant_id, provider, connection_id, delivery_id,
       CASE WHEN is_form THEN 'form' ELSE coalesce(event, 'unknown') END AS event,
       CASE
           WHEN is_form THEN 'Other'
           WHEN provider = 'clickup' THEN CASE
               WHEN event = 'taskCreated' THEN 'NewWorkItem'
               WHEN event = 'taskUpdated' AND json_get_str(body, 'history_items', 0, 'field') = 'task_creation'
                   THEN 'NewWorkItem'
               WHEN event = 'taskUpdated' AND json_get_str(body, 'history_items', 0, 'field') = 'status'
                   THEN 'WorkItemStatusChanged'
               WHEN event IN ('taskUpdated', 'taskAssigneeUpdated', 'taskPriorityUpdated', 'taskDueDateUpdated',
                              'taskTagUpdated', 'taskMoved') THEN 'WorkItemUpdated'
               WHEN event = 'taskStatusUpdated' THEN 'WorkItemStatusChanged'
               WHEN event = 'taskDeleted' THEN 'WorkItemDeleted'
               WHEN event = 'taskCommentPosted' THEN 'CommentPosted'
               WHEN event = 'taskCommentUpdated' THEN 'CommentUpdated'
               WHEN event = 'listCreated' THEN 'ProjectCreated'
               WHEN event = 'listUpdated' THEN 'ProjectUpdated'
               WHEN event = 'listDeleted' THEN 'ProjectArchived'
               ELSE 'Other' END
           WHEN provider = 'slack' THEN CASE
               WHEN event IN ('message', 'app_mention', 'message.thread_broadcast', 'message.file_share',
                              'message.me_message', 'message.bot_message') THEN 'MessagePosted'
               WHEN event = 'message.message_changed' AND says_the_same THEN 'Other'
               WHEN event = 'message.message_changed' THEN 'MessageChanged'
               WHEN event = 'message.message_deleted' THEN 'MessageDeleted'
               WHEN event = 'channel_created' THEN 'ChannelCreated'
               WHEN event IN ('channel_rename', 'group_rename') THEN 'ProjectUpdated'
               WHEN event IN ('channel_archive', 'group_archive') THEN 'ProjectArchived'
               ELSE 'Other' END
           WHEN provider = 'github' THEN CASE
               WHEN event IN ('issues.opened', 'pull_request.opened') THEN 'NewWorkItem'
               WHEN event IN ('issues.closed', 'issues.reopened', 'pull_request.closed', 'pull_request.merged')
                   THEN 'WorkItemStatusChanged'
               WHEN event IN ('issues.deleted', 'issues.transferred') THEN 'WorkItemDeleted'
               WHEN event LIKE 'issues.%' OR event LIKE 'pull_request.%' THEN 'WorkItemUpdated'
               WHEN event IN ('issue_comment.created', 'pull_request_review_comment.created',
                              'discussion_comment.created', 'pull_request_review.submitted') THEN 'CommentPosted'
               WHEN event IN ('issue_comment.edited', 'pull_request_review_comment.edited',
                              'discussion_comment.edited', 'commit_comment.edited', 'pull_request_review.edited')
                   THEN 'CommentUpdated'
               WHEN event IN ('issue_comment.deleted', 'pull_request_review_comment.deleted',
                              'discussion_comment.deleted', 'commit_comment.deleted') THEN 'CommentDeleted'
               WHEN event = 'repository.created' THEN 'ProjectCreated'
               WHEN event IN ('repository.archived', 'repository.deleted') THEN 'ProjectArchived'
               WHEN event LIKE 'repository.%' THEN 'ProjectUpdated'
               WHEN event = 'push' THEN 'CodePushed'
               WHEN event IN ('check_run.completed', 'workflow_run.completed') THEN 'CheckCompleted'
               WHEN event = 'release.published' THEN 'ReleasePublished'
               ELSE 'Other' END
           WHEN provider = 'jira' THEN CASE
               WHEN event = 'jira:issue_created' THEN 'NewWorkItem'
               -- As far as its first changes tell: a list is not searched here.
               WHEN event = 'jira:issue_updated' AND 'status' IN (
                   json_get_str(body, 'changelog', 'items', 0, 'field'),
                   json_get_str(body, 'changelog', 'items', 1, 'field'),
                   json_get_str(body, 'changelog', 'items', 2, 'field')) THEN 'WorkItemStatusChanged'
               WHEN event = 'jira:issue_updated' THEN 'WorkItemUpdated'
               WHEN event = 'jira:issue_deleted' THEN 'WorkItemDeleted'
               WHEN event = 'comment_created' THEN 'CommentPosted'
               WHEN event = 'comment_updated' THEN 'CommentUpdated'
               WHEN event = 'comment_deleted' THEN 'CommentDeleted'
               WHEN event = 'project_created' THEN 'ProjectCreated'
               WHEN event IN ('project_updated', 'project_restored_archived', 'project_restored_deleted')
                   THEN 'ProjectUpdated'
               WHEN event IN ('project_deleted', 'project_soft_deleted', 'project_archived') THEN 'ProjectArchived'
               ELSE 'Other' END
           ELSE 'Other'
       END AS type,
       text, normalise(text) AS words, content_hash(text) AS text_hash, received_at
FROM requests
WHERE is_form OR is_json;

INSERT INTO dead_letters
SELECT key, tenant_id, provider, delivery_id, 'the body is no JSON text' AS reason, body,
       kafka_partition AS partition, kafka_offset AS offset_id, received_at
FROM requests
WHERE NOT is_form AND NOT is_json;
