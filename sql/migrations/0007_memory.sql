-- What the hub remembers: whole texts, for histories and other models; their
-- chunks as vectors, where no vector store of its own is there; summaries. The
-- log knows tenants and projects that the directory does not, so nothing here
-- refers to them.

-- A text that was taken away leaves an empty row behind, so that a request for
-- it that comes late does not bring it back.
CREATE TABLE texts (
    tenant_id  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    project_id TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    task_id    TEXT,
    channel_id TEXT,
    thread_ts  TEXT,
    thread_seq BIGINT,
    author     TEXT,
    trust      TEXT    NOT NULL,
    at_ms      BIGINT  NOT NULL,
    revised_ms BIGINT  NOT NULL,
    is_gone    BOOLEAN NOT NULL,
    text       TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX texts_by_thread ON texts (tenant_id, channel_id, thread_ts, at_ms, id);
CREATE INDEX texts_by_task ON texts (tenant_id, task_id, at_ms, id);

CREATE TABLE summaries (
    tenant_id  TEXT   NOT NULL,
    task_id    TEXT   NOT NULL,
    through    BIGINT NOT NULL,
    project_id TEXT   NOT NULL,
    channel_id TEXT,
    thread_ts  TEXT,
    trust      TEXT   NOT NULL,
    model      TEXT   NOT NULL,
    made_ms    BIGINT NOT NULL,
    text       TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, task_id, through)
);
CREATE INDEX summaries_by_thread ON summaries (tenant_id, channel_id, thread_ts);

-- `change` numbers what happens in one project: whoever holds the rows of a
-- project in memory reads on from the last it has seen. A row that is gone stays
-- for a day, so that all of them see it go.
CREATE TABLE vectors (
    tenant_id  TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    project_id TEXT    NOT NULL,
    change     BIGINT  NOT NULL,
    changed_ms BIGINT  NOT NULL,
    is_gone    BOOLEAN NOT NULL,
    text_id    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    task_id    TEXT,
    channel_id TEXT,
    thread_ts  TEXT,
    author     TEXT,
    trust      TEXT    NOT NULL,
    at_ms      BIGINT  NOT NULL,
    text       TEXT    NOT NULL,
    codes      TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, model, id)
);
CREATE INDEX vectors_by_change ON vectors (tenant_id, model, project_id, change);
CREATE INDEX vectors_by_text ON vectors (tenant_id, model, text_id);
