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
    pub server: ServerSettings,
    pub webhooks: WebhookSettings,
    pub log: LogSettings,
    pub kafka: KafkaSettings,
    pub pipeline: PipelineSettings,
    pub agents: super::AgentSettings,
    pub governance: super::GovernanceSettings,
    pub providers: ProviderSettings,
    pub retries: RetrySettings,
    pub mirror: super::MirrorSettings,
    pub upkeep: super::UpkeepSettings,
    pub oauth: OAuthSettings,
    pub memory: super::MemorySettings,
    pub store: StoreSettings,
    pub auth: AuthSettings,
    pub telemetry: TelemetrySettings,
    pub traces: TraceSettings,
    pub langfuse: LangfuseSettings,
    pub alerts: AlertSettings,
    pub usage: UsageSettings,
    pub kubernetes: KubernetesSettings,
    pub sql: SqlSettings,
    pub lake: LakeSettings,
    #[serde(default)]
    pub connections: Vec<ConnectionSettings>,
}

/// `[server]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ServerSettings {
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
pub struct WebhookSettings {
    pub tolerance_s: u64,
    pub remembered_max: usize,
    pub secrets: BTreeMap<String, String>,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LogSettings {
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
pub struct KafkaSettings {
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
pub struct PipelineSettings {
    pub deduplicate_hours: u64,
    pub deduplicate_events_max: usize,
}

/// `[providers]`. Which settings there are is the manual's matter; each provider
/// names its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProviderSettings {
    /// Whether addresses that are not public may be called.
    pub allow_private_targets: bool,
    #[serde(flatten)]
    named: BTreeMap<String, String>,
}

impl ProviderSettings {
    /// A setting; empty, where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.named.get(name).map_or("", String::as_str)
    }

    /// Whether a provider has an API that is called: its address is a setting.
    pub fn is_called(&self, provider: &str) -> bool {
        self.named.contains_key(&format!("{provider}_api_url"))
    }

    /// Sets a setting.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.named.insert(name.to_owned(), value.into());
    }
}

/// `[oauth]`. Which settings there are is the manual's matter; each provider names
/// its own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OAuthSettings {
    named: BTreeMap<String, String>,
}

impl OAuthSettings {
    /// A setting; empty, where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.named.get(name).map_or("", String::as_str)
    }

    /// Sets a setting.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.named.insert(name.to_owned(), value.into());
    }
}

/// `[retries]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RetrySettings {
    pub attempts_max: u32,
    pub mirror: BTreeMap<String, u32>,
    pub lookups: BTreeMap<String, u32>,
}

impl RetrySettings {
    /// The attempts of a connector's own table, or those of all.
    pub fn attempts(&self, own: &BTreeMap<String, u32>, provider: &str) -> u32 {
        own.get(provider).copied().unwrap_or(self.attempts_max)
    }
}

/// `[store]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct StoreSettings {
    pub url: String,
    pub direct_url: String,
    pub connections_max: u32,
    pub migrate_at_start: bool,
}

/// `[auth]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AuthSettings {
    pub jwt_secret: String,
    pub encryption_key: String,
    pub bcrypt_cost: u32,
}

/// `[telemetry]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TelemetrySettings {
    pub format: Format,
    pub level: String,
}

/// `[usage]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct UsageSettings {
    pub prices: Prices,
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
pub struct SqlSettings {
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
pub struct LakeSettings {
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
pub struct ConnectionSettings {
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

impl ConnectionSettings {
    /// All of its secrets, the current one first.
    pub fn all_secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.secrets).map(String::as_str).filter(|secret| !secret.is_empty())
    }
}

/// `[traces]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct TraceSettings {
    pub otlp_endpoint: String,
    pub otlp_traces_endpoint: String,
    pub otlp_headers: String,
    pub service_name: String,
    pub environment: String,
    pub sampler: String,
    pub sampler_arg: String,
    pub schedule_delay_ms: u64,
    pub batch_spans_max: usize,
    pub export_timeout_ms: u64,
    pub queue_spans_max: usize,
    pub trace_link: String,
}

/// `[langfuse]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct LangfuseSettings {
    pub host: String,
    pub public_key: String,
    pub secret_key: String,
    pub project_id: String,
}

/// `[alerts]`
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct AlertSettings {
    pub webhook_url: String,
    pub webhook_secret: String,
    pub repeat_after_s: u64,
}

/// `[kubernetes]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct KubernetesSettings {
    pub api_url: String,
    pub host: String,
    pub port: u16,
    pub account_dir: PathBuf,
    pub namespace: String,
}

/// What a million tokens of a model cost, in dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // described in the manual
pub struct Price {
    pub input: f64,
    pub output: f64,
}

/// Prices by model; a name that ends with `*` is that of all that begin so.
pub type Prices = BTreeMap<String, Price>;

macro_rules! shown_masked {
    ($($settings:ident),*) => {
        $(impl fmt::Debug for $settings {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                masking::show(self, f)
            }
        })*
    };
}

shown_masked!(
    Config,
    WebhookSettings,
    KafkaSettings,
    ProviderSettings,
    OAuthSettings,
    StoreSettings,
    AuthSettings,
    ConnectionSettings,
    LakeSettings,
    TraceSettings,
    LangfuseSettings,
    AlertSettings
);
