-- What the pipeline notices of connections and projects (see 0003).

CREATE TABLE notices (
    tenant_id     TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    data          TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX notices_by_partition ON notices (log_partition);

-- What is kept of connections beside their rows, and never announced: how they
-- are, what they were granted, what is being looked for. Whoever changes a note
-- names the version it has read, so that of several processes one does what is
-- due. Connections of the settings have no tenant here: nothing refers to one.

CREATE TABLE upkeep (
    tenant_id TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    id        TEXT   NOT NULL,
    version   BIGINT NOT NULL,
    due_at_ms BIGINT,
    data      TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, kind, id)
);
CREATE INDEX upkeep_by_due ON upkeep (due_at_ms);
