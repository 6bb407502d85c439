-- What is still to be appended to the log, written in the transaction of what
-- it tells of. A row goes when its record is durable; its number never returns.
CREATE TABLE outbox (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    row_id    TEXT   NOT NULL,
    data      TEXT,
    at_ms     BIGINT NOT NULL
);
