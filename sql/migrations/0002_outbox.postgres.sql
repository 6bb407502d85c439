-- Beside the portable file because the engines count rows in words of their own.
CREATE TABLE outbox (
    number    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    row_id    TEXT   NOT NULL,
    data      TEXT,
    at_ms     BIGINT NOT NULL
);
