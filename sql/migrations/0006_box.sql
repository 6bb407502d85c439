-- The black box. The audit trail only grows: nothing here is ever changed, and
-- each row's hash goes over the one before it. What its rows are made of stands
-- in `data`, whole; the other columns are taken from there, to be looked for.

CREATE TABLE audit (
    tenant_id TEXT   NOT NULL,
    number    BIGINT NOT NULL,
    id        TEXT   NOT NULL,
    at_ms     BIGINT NOT NULL,
    action    TEXT   NOT NULL,
    agent_id  TEXT,
    task_id   TEXT,
    trace_id  TEXT,
    data      TEXT   NOT NULL,
    hash      TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, number)
);
CREATE UNIQUE INDEX audit_by_id ON audit (tenant_id, id);
CREATE INDEX audit_by_agent ON audit (tenant_id, agent_id, number);
CREATE INDEX audit_by_task ON audit (tenant_id, task_id, number);
CREATE INDEX audit_by_trace ON audit (tenant_id, trace_id, number);
CREATE INDEX audit_by_time ON audit (tenant_id, at_ms);

-- The newest row of each tenant, so that one that is missing at the end is missed.
CREATE TABLE audit_heads (
    tenant_id TEXT   NOT NULL PRIMARY KEY,
    number    BIGINT NOT NULL,
    hash      TEXT   NOT NULL
);

-- The mirror's commands that have not ended.
CREATE TABLE mirror_waiting (
    tenant_id     TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    log_partition BIGINT  NOT NULL,
    log_offset    BIGINT  NOT NULL,
    claimed       BOOLEAN NOT NULL,
    connection_id TEXT    NOT NULL,
    provider      TEXT    NOT NULL,
    task_id       TEXT,
    agent_id      TEXT,
    at_ms         BIGINT  NOT NULL,
    act           TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- What agents' calls to models took, by day (UTC). '' is no project.
CREATE TABLE usage_days (
    tenant_id     TEXT   NOT NULL,
    day           TEXT   NOT NULL,
    agent_id      TEXT   NOT NULL,
    project_id    TEXT   NOT NULL,
    model         TEXT   NOT NULL,
    reports       BIGINT NOT NULL,
    calls         BIGINT NOT NULL,
    input_tokens  BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_micros   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day, agent_id, project_id, model)
);

-- What a tenant (scope '_all') or one agent may spend in a period.
CREATE TABLE budgets (
    tenant_id     TEXT    NOT NULL,
    scope         TEXT    NOT NULL,
    period        TEXT    NOT NULL,
    limit_micros  BIGINT  NOT NULL,
    hard_stop     BOOLEAN NOT NULL,
    updated_at_ms BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, scope)
);

-- How far a budget was used in which period, and of what somebody was told.
CREATE TABLE budget_told (
    tenant_id TEXT   NOT NULL,
    scope     TEXT   NOT NULL,
    period    TEXT   NOT NULL,
    percent   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, scope)
);

-- How far each topic of each log was read into these tables.
CREATE TABLE trail_positions (
    topic         TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    log_identity  TEXT   NOT NULL,
    next_offset   BIGINT NOT NULL,
    PRIMARY KEY (topic, log_partition)
);
