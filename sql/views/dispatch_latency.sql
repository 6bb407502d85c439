-- A row an event that agents were told of: how long its provider took to report
-- it, and how long the hub kept it (for details that it had to ask for), both in
-- milliseconds, by the hub's clock.
SELECT
    inbox.event_id,
    inbox.event_type,
    event.provider,
    inbox.project_id,
    inbox.task_id,
    cardinality(inbox.addressees) AS agents,
    event.received_at,
    inbox.at AS dispatched_at,
    CAST(event.received_at AS BIGINT) - CAST(event.occurred_at AS BIGINT) AS provider_ms,
    CAST(inbox.at AS BIGINT) - CAST(event.received_at AS BIGINT) AS latency_ms
FROM agents_inbox AS inbox
JOIN events AS event ON event.id = inbox.event_id
