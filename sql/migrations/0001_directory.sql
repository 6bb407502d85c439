-- The directory: what administrators write, and `control` announces.
--
-- Every key begins with the tenant, so that no statement can reach a row
-- without naming whose it is. Names that people write in any case are kept a
-- second time, folded by the hub: the engines fold differently.

CREATE TABLE tenants (
    id                     TEXT   NOT NULL PRIMARY KEY,
    created_at_ms          BIGINT NOT NULL,
    updated_at_ms          BIGINT NOT NULL,
    name                   TEXT   NOT NULL,
    admin_slack_channel_id TEXT
);

CREATE TABLE workgroups (
    tenant_id         TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                TEXT   NOT NULL,
    created_at_ms     BIGINT NOT NULL,
    updated_at_ms     BIGINT NOT NULL,
    name              TEXT   NOT NULL,
    name_folded       TEXT   NOT NULL,
    slack_channel_id  TEXT,
    clickup_space_id  TEXT,
    clickup_folder_id TEXT,
    on_list_created   TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX workgroups_name_folded_key ON workgroups (tenant_id, name_folded);

CREATE TABLE agents (
    tenant_id     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id            TEXT    NOT NULL,
    created_at_ms BIGINT  NOT NULL,
    updated_at_ms BIGINT  NOT NULL,
    name          TEXT    NOT NULL,
    role          TEXT,
    avatar        TEXT,
    owner         TEXT,
    capabilities  TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    enabled       BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE agent_external_ids (
    tenant_id   TEXT   NOT NULL,
    agent_id    TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    provider    TEXT   NOT NULL,
    external_id TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, position),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX agent_external_ids_external_id_key ON agent_external_ids (tenant_id, provider, external_id);

CREATE TABLE workgroup_agents (
    tenant_id    TEXT   NOT NULL,
    workgroup_id TEXT   NOT NULL,
    position     BIGINT NOT NULL,
    agent_id     TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, workgroup_id, position),
    FOREIGN KEY (tenant_id, workgroup_id) REFERENCES workgroups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX workgroup_agents_agent_id_key ON workgroup_agents (tenant_id, agent_id, workgroup_id);

CREATE TABLE aliases (
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id            TEXT   NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    alias         TEXT   NOT NULL,
    alias_folded  TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX aliases_alias_folded_key ON aliases (tenant_id, alias_folded);

CREATE TABLE alias_agents (
    tenant_id TEXT   NOT NULL,
    alias_id  TEXT   NOT NULL,
    position  BIGINT NOT NULL,
    agent_id  TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, alias_id, position),
    FOREIGN KEY (tenant_id, alias_id) REFERENCES aliases (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX alias_agents_agent_id_key ON alias_agents (tenant_id, agent_id, alias_id);

CREATE TABLE projects (
    tenant_id                TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                       TEXT    NOT NULL,
    created_at_ms            BIGINT  NOT NULL,
    updated_at_ms            BIGINT  NOT NULL,
    name                     TEXT    NOT NULL,
    workgroup_id             TEXT,
    clickup_list_id          TEXT,
    github_repository        TEXT,
    github_repository_folded TEXT,
    jira_project_key         TEXT,
    slack_channel_id         TEXT,
    notify                   TEXT    NOT NULL,
    status_map               TEXT    NOT NULL,
    archived                 BOOLEAN NOT NULL,
    starts_at_ms             BIGINT,
    ends_at_ms               BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workgroup_id) REFERENCES workgroups (tenant_id, id)
);
CREATE INDEX projects_by_workgroup ON projects (tenant_id, workgroup_id);
CREATE UNIQUE INDEX projects_clickup_list_id_key ON projects (tenant_id, clickup_list_id);
CREATE UNIQUE INDEX projects_github_repository_folded_key ON projects (tenant_id, github_repository_folded);
CREATE UNIQUE INDEX projects_jira_project_key_key ON projects (tenant_id, jira_project_key);
CREATE UNIQUE INDEX projects_slack_channel_id_key ON projects (tenant_id, slack_channel_id);

CREATE TABLE users (
    tenant_id     TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id            TEXT   NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    name          TEXT   NOT NULL,
    email         TEXT,
    email_folded  TEXT,
    role          TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_email_folded_key ON users (tenant_id, email_folded);

CREATE TABLE user_workgroups (
    tenant_id    TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    workgroup_id TEXT NOT NULL,
    role         TEXT NOT NULL,
    PRIMARY KEY (tenant_id, user_id, workgroup_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, workgroup_id) REFERENCES workgroups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX user_workgroups_by_workgroup ON user_workgroups (tenant_id, workgroup_id);

CREATE TABLE user_external_ids (
    tenant_id   TEXT   NOT NULL,
    user_id     TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    provider    TEXT   NOT NULL,
    external_id TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, user_id, position),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX user_external_ids_external_id_key ON user_external_ids (tenant_id, provider, external_id);

-- A resource is a user or an agent, so no foreign key can hold it: the hub
-- removes the mappings of whom it removes.
CREATE TABLE mappings (
    tenant_id             TEXT   NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id                    TEXT   NOT NULL,
    created_at_ms         BIGINT NOT NULL,
    updated_at_ms         BIGINT NOT NULL,
    external_system       TEXT   NOT NULL,
    external_email        TEXT,
    external_email_folded TEXT,
    external_user_id      TEXT,
    resource_id           TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX mappings_by_resource ON mappings (tenant_id, resource_id);
CREATE UNIQUE INDEX mappings_external_user_id_key ON mappings (tenant_id, external_system, external_user_id);
CREATE UNIQUE INDEX mappings_external_email_folded_key
    ON mappings (tenant_id, external_system, external_email_folded);

-- A provider's workspace can be linked by one tenant alone, and a connection's
-- id stands in addresses that name no tenant: both are unique over all tenants,
-- or one tenant could take what another is sent.
CREATE TABLE connections (
    tenant_id      TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id             TEXT    NOT NULL,
    created_at_ms  BIGINT  NOT NULL,
    updated_at_ms  BIGINT  NOT NULL,
    provider       TEXT    NOT NULL,
    external_id    TEXT    NOT NULL,
    name           TEXT,
    sealed_secrets TEXT    NOT NULL,
    sealed_token   TEXT,
    base_url       TEXT,
    email          TEXT,
    own_ids        TEXT    NOT NULL,
    filters        TEXT,
    enabled        BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX connections_id_key ON connections (id);
CREATE UNIQUE INDEX connections_external_id_key ON connections (provider, external_id) WHERE external_id <> '';

-- Whoever asks for a token names the client and no tenant.
CREATE TABLE clients (
    tenant_id      TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id             TEXT    NOT NULL,
    created_at_ms  BIGINT  NOT NULL,
    updated_at_ms  BIGINT  NOT NULL,
    role           TEXT    NOT NULL,
    agent_id       TEXT,
    name           TEXT,
    enabled        BOOLEAN NOT NULL,
    tokens_from_ms BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);
CREATE UNIQUE INDEX clients_id_key ON clients (id);
CREATE INDEX clients_by_agent ON clients (tenant_id, agent_id);

-- Apart from the row, because the row is announced and this never is.
CREATE TABLE client_secrets (
    tenant_id   TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    bcrypt_hash TEXT NOT NULL,
    PRIMARY KEY (tenant_id, client_id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id) ON DELETE CASCADE
);
