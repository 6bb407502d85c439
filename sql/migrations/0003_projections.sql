-- What the pipeline keeps of its tenants, as lists can be asked for it. Each row
-- says which record it was made of: an older one never replaces it. The log
-- knows tenants that the directory does not, so nothing here refers to them.

CREATE TABLE tasks (
    tenant_id     TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    external_id   TEXT   NOT NULL,
    project_id    TEXT,
    state         TEXT   NOT NULL,
    channel_id    TEXT,
    thread_ts     TEXT,
    updated_at_ms BIGINT NOT NULL,
    data          TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX tasks_by_project ON tasks (tenant_id, project_id, id);
CREATE INDEX tasks_by_external_id ON tasks (tenant_id, external_id);
CREATE INDEX tasks_by_thread ON tasks (tenant_id, channel_id, thread_ts);
CREATE INDEX tasks_by_partition ON tasks (log_partition);

CREATE TABLE unrouted (
    tenant_id     TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    data          TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX unrouted_by_partition ON unrouted (log_partition);

CREATE TABLE candidates (
    tenant_id     TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    data          TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX candidates_by_partition ON candidates (log_partition);

-- How far each partition of each log was read into these tables.
CREATE TABLE projections (
    log_partition BIGINT NOT NULL PRIMARY KEY,
    log_identity  TEXT   NOT NULL,
    next_offset   BIGINT NOT NULL
);

-- What the store knows of itself, such as the log that it was announced to.
CREATE TABLE facts (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
