//! The settings, table by table. Each is described in the manual.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::masking;

/// All settings.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct Config {
    pub data_dir: PathBuf,
    pub default_tenant: String,
    pub allow_unsigned: bool,
    pub server: Server,
    pub webhooks: Webhooks,
    pub log: Log,
    pub kafka: Kafka,
    pub pipeline: Pipeline,
    pub agents: crate::agents::Agents,
    pub governance: super::Governance,
    pub providers: Providers,
    pub retries: Retries,
    pub mirror: crate::mirror::Settings,
    pub upkeep: crate::connections::Settings,
    pub oauth: OAuth,
    pub memory: crate::memory::Settings,
    pub store: Store,
    pub auth: Auth,
    pub telemetry: Telemetry,
    pub traces: crate::telemetry::traces::Settings,
    pub langfuse: crate::telemetry::traces::Langfuse,
    pub alerts: crate::alerts::Settings,
    pub usage: Usage,
    pub kubernetes: crate::brake::kubernetes::Settings,
    pub sql: Sql,
    pub lake: Lake,
    #[serde(default)]
    pub connections: Vec<Connection>,
}

/// `[server]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Server {
    pub host: std::net::IpAddr,
    pub port: u16,
    pub public_url: String,
    pub body_max_bytes: usize,
    pub github_body_max_bytes: usize,
    pub bodies_max_bytes: usize,
    pub json_depth_max: usize,
    pub head_timeout_ms: u64,
    pub body_idle_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub connections_max: u32,
    pub tenant_requests_max: usize,
    pub tenant_waiting_max: usize,
    pub webhooks_health: Access,
    pub cors_origins: Vec<String>,
    pub client_requests_per_s: u32,
    pub client_requests_burst: u32,
    pub trusted_proxies: Vec<std::net::IpAddr>,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anybody.
    None,
    /// An administrator, by token.
    Admin,
}

/// `[webhooks]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Webhooks {
    pub tolerance_s: u64,
    pub remembered_max: usize,
    pub secrets: BTreeMap<String, String>,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Log {
    pub partitions: u32,
    pub durability: Durability,
    pub segment_mb: u64,
    pub cache_mb: u64,
    pub pending_mb_max: u64,
    pub retention_days: BTreeMap<String, u64>,
}

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on the disk.
    Sync,
    /// When it is written; synced once a second.
    Interval,
}

/// `[kafka]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Kafka {
    pub brokers: String,
    pub topic_prefix: String,
    pub replication: i32,
    pub group_instance_id: String,
    pub session_timeout_ms: u64,
    pub security_protocol: String,
    pub sasl_mechanism: String,
    pub sasl_username: String,
    pub sasl_password: String,
    pub ssl_ca: String,
}

/// `[pipeline]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Pipeline {
    pub deduplicate_hours: u64,
    pub deduplicate_events_max: usize,
}

/// `[providers]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Providers {
    pub clickup_api_url: String,
    pub slack_api_url: String,
    pub github_api_url: String,
    pub jira_api_url: String,
    pub clickup_api_token: String,
    pub slack_bot_token: String,
    pub github_token: String,
    pub allow_private_targets: bool,
}

/// `[oauth]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct OAuth {
    pub slack_client_id: String,
    pub slack_client_secret: String,
    pub slack_authorize_url: String,
    pub clickup_client_id: String,
    pub clickup_client_secret: String,
    pub clickup_authorize_url: String,
    pub github_client_id: String,
    pub github_client_secret: String,
    pub github_oauth_url: String,
}

impl Providers {
    /// The hub's own token for a provider, if it has one.
    pub fn token(&self, provider: &str) -> Option<&str> {
        let token = match provider {
            "slack" => &self.slack_bot_token,
            "clickup" => &self.clickup_api_token,
            "github" => &self.github_token,
            _ => return None,
        };
        Some(token.as_str()).filter(|token| !token.is_empty())
    }
}

/// `[retries]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Retries {
    pub attempts_max: u32,
    pub mirror: BTreeMap<String, u32>,
    pub lookups: BTreeMap<String, u32>,
}

impl Retries {
    /// The attempts of a connector's own table, or those of all.
    pub fn attempts(&self, own: &BTreeMap<String, u32>, provider: &str) -> u32 {
        own.get(provider).copied().unwrap_or(self.attempts_max)
    }
}

/// `[store]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Store {
    pub url: String,
    pub direct_url: String,
    pub connections_max: u32,
    pub migrate_at_start: bool,
}

/// `[auth]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Auth {
    pub jwt_secret: String,
    pub encryption_key: String,
    pub bcrypt_cost: u32,
}

/// `[telemetry]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Telemetry {
    pub format: Format,
    pub level: String,
}

/// `[usage]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Usage {
    pub prices: crate::trail::spending::Prices,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Format {
    Text,
    Json,
}

/// `[sql]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sql {
    pub pg_port: u16,
    pub pg_connections_max: usize,
    pub timeout_ms: u64,
    pub rows_max: usize,
    pub answer_mb_max: usize,
    pub memory_mb_max: usize,
    pub running_max: usize,
    pub following_max: usize,
    pub late_ms: u32,
    pub threads: usize,
}

/// `[lake]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Lake {
    pub folder: String,
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub flush_ms: u64,
    pub rows_max: usize,
    pub file_mb_max: usize,
    pub files_max: usize,
    pub keep_days: u64,
}

/// One of `[[connections]]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Connection {
    pub id: String,
    pub tenant: String,
    pub provider: String,
    #[serde(default)]
    pub external_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

impl Connection {
    /// All of its secrets, the current one first.
    pub fn all_secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.secrets).map(String::as_str).filter(|secret| !secret.is_empty())
    }
}

macro_rules! shown_masked {
    ($($settings:ident),*) => {
        $(impl fmt::Debug for $settings {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                masking::show(self, f)
            }
        })*
    };
}

shown_masked!(Config, Webhooks, Kafka, Providers, OAuth, Store, Auth, Connection, Lake);

// Settings that are kept beside the code that they are for.
use crate::{
    alerts::Settings as Alerts,
    telemetry::traces::{Langfuse, Settings as Traces},
};
shown_masked!(Alerts, Langfuse, Traces);
