//! The rows of the directory: what the API writes to the store, what `control`
//! announces, and what every process keeps of it. A row is the `data` of a
//! [`Control`](super::Control) record of the kind [`Row::KIND`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::event::{TaskState, Time};

/// A kind of row, and the name under which `control` has it.
pub trait Row: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `control`'s word for it, also a part of its key: `tenant/KIND/id`.
    const KIND: &'static str;
}

macro_rules! rows {
    ($($row:ident = $kind:literal),* $(,)?) => {
        $(impl Row for $row { const KIND: &'static str = $kind; })*
        /// THE list of the kinds of rows.
        pub const ROW_KINDS: &[&str] = &[$($kind),*];
    };
}

rows! {
    Tenant = "tenant",
    Workgroup = "workgroup",
    Agent = "agent",
    Alias = "alias",
    Project = "project",
    User = "user",
    UserMapping = "mapping",
    Connection = "connection",
    Client = "client",
    House = "house",
}

/// A company.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// What it is called.
    pub name: String,
    /// Where its people are told of alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_slack_channel_id: Option<String>,
    /// What its agents may do, where that differs from the hub's own limits:
    /// a part of [`Limits`](crate::governance::Limits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<serde_json::Map<String, serde_json::Value>>,
}

/// For which providers a tenant may use the settings' own tokens, where its
/// connections have none. One tenant at most has such a row, under the id
/// [`House::ID`]: the default tenant, else the only one. Nobody writes it
/// through the API; whoever announces the store's rows announces it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct House {
    /// The providers that there is a token for.
    pub providers: Vec<String>,
}

impl House {
    /// Its row's id.
    pub const ID: &'static str = "tokens";

    /// Whether there is a token for a provider.
    pub fn has(&self, provider: &str) -> bool {
        self.providers.iter().any(|known| known == provider)
    }
}

/// What becomes of a list or channel that was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnListCreated {
    /// It stays a candidate until a person maps it.
    #[default]
    Ask,
    /// It gets a channel of its own.
    CreateChannel,
    /// It is discussed in the workgroup's channel.
    UseWorkgroupChannel,
}

/// A squad of the tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workgroup {
    /// What it is called.
    pub name: String,
    /// Its permanent channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_channel_id: Option<String>,
    /// Its ClickUp space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickup_space_id: Option<String>,
    /// Its ClickUp folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickup_folder_id: Option<String>,
    /// What becomes of new lists.
    #[serde(default)]
    pub on_list_created: OnListCreated,
    /// Its agents.
    #[serde(default)]
    pub agent_ids: Vec<String>,
}

/// Somebody's name in another system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalId {
    /// `slack`, `clickup`, `github`, `jira`, …
    pub provider: String,
    /// The id there: a Slack user or bot, a ClickUp user, a GitHub login, …
    pub id: String,
}

/// An AI worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// What it is called; `@name` is an alias of it.
    pub name: String,
    /// What it does, in its owner's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A picture's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// What it is called elsewhere: so that an assignment in ClickUp or an own
    /// message in Slack is known as its.
    #[serde(default)]
    pub external_ids: Vec<ExternalId>,
    /// The client whose tokens are its.
    pub client_id: String,
    /// Whether it takes part.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// A name for a list of agents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alias {
    /// As people write it, with the `@`; case does not matter.
    pub alias: String,
    /// Whom it names.
    pub agent_ids: Vec<String>,
}

/// Whom a new work item is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Notify {
    /// The mentioned and the assigned.
    #[default]
    Mentioned,
    /// All agents of the workgroup.
    All,
}

/// A list, repository or project key, mapped to a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// What it is called.
    pub name: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup_id: Option<String>,
    /// Its ClickUp list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clickup_list_id: Option<String>,
    /// Its GitHub repository, `owner/name`; case does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_repository: Option<String>,
    /// Its Jira project key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jira_project_key: Option<String>,
    /// Where it is discussed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_channel_id: Option<String>,
    /// Whom a new work item is told to.
    #[serde(default)]
    pub notify: Notify,
    /// The provider's status names, in lower case, and the states they are.
    #[serde(default)]
    pub status_map: BTreeMap<String, TaskState>,
    /// Set when it is over.
    #[serde(default)]
    pub archived: bool,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An agent: its workgroups' projects.
    #[default]
    Agent,
    /// A person of the tenant: reads and works.
    Member,
    /// Asks SQL.
    Analyst,
    /// Changes the tenant.
    Admin,
    /// Works across tenants.
    Platform,
}

impl Role {
    /// Its name, as in a token.
    pub fn name(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Member => "member",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
            Role::Platform => "platform",
        }
    }
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// What they are called.
    pub name: String,
    /// Their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do in the tenant.
    pub role: Role,
    /// What they may do in a workgroup, by its id.
    #[serde(default)]
    pub workgroup_roles: BTreeMap<String, Role>,
    /// What they are called elsewhere.
    #[serde(default)]
    pub external_ids: Vec<ExternalId>,
}

/// Who is who in another system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserMapping {
    /// `slack`, `clickup`, `github`, `jira`.
    pub external_system: String,
    /// The address there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_email: Option<String>,
    /// The id there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_user_id: Option<String>,
    /// The user or agent that it is.
    pub resource_id: String,
}

/// One tenant's link to one provider workspace. What is secret in it is sealed
/// with the hub's encryption key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// `clickup`, `slack`, `github`, `jira`, or the sender's name.
    pub provider: String,
    /// The Slack team, ClickUp webhook, GitHub installation, hook or
    /// repository, Jira site.
    #[serde(default)]
    pub external_id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its requests are signed with, sealed, the current one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_secrets: Vec<String>,
    /// What calls to the provider are made with, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_token: Option<String>,
    /// Where the provider's API is, if it has an own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Who the token belongs to, where the provider asks for it (Jira).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Who we are there: the bot's user and bot ids. What they post is ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_ids: Vec<String>,
    /// What of it is taken, in the words of the connector that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<serde_json::Value>,
    /// Whether anything is taken.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Somebody who gets tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// What it may do.
    pub role: Role,
    /// The agent that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether its tokens count.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Tokens that were issued before this count no more.
    #[serde(default)]
    pub tokens_from: Time,
}

fn yes() -> bool {
    true
}
