//! What is in force: the defaults, a file over them, the environment over both.
//!
//! `deploy/default.toml` is the manual and the list of keys at once: what does
//! not stand there is unknown. An unknown key or a value of another kind is an
//! error that names the key and where it was set.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The manual.
pub const DEFAULTS: &str = include_str!("../../deploy/default.toml");

/// Names that the ecosystem expects, and the settings they are.
const ECOSYSTEM_NAMES: &[(&str, &str)] = &[
    ("PORT", "server.port"),
    ("NEXUS_PG_PORT", "sql.pg_port"),
    ("CORS_ORIGINS", "server.cors_origins"),
    ("DATABASE_URL", "store.url"),
    ("DIRECT_URL", "store.direct_url"),
    ("JWT_SECRET", "auth.jwt_secret"),
    ("ENCRYPTION_KEY", "auth.encryption_key"),
    ("KAFKA_BROKERS", "kafka.brokers"),
    ("KAFKA_SECURITY_PROTOCOL", "kafka.security_protocol"),
    ("KAFKA_SASL_MECHANISM", "kafka.sasl_mechanism"),
    ("KAFKA_SASL_USERNAME", "kafka.sasl_username"),
    ("KAFKA_SASL_PASSWORD", "kafka.sasl_password"),
    ("KAFKA_SSL_CA", "kafka.ssl_ca"),
    ("SLACK_SIGNING_SECRET", "webhooks.secrets.slack"),
];

/// `WEBHOOK_SECRET_ACME_CI` is the secret of the provider `acme-ci`.
const SECRET_PREFIX: &str = "WEBHOOK_SECRET_";

/// Variables with our prefix that are no settings: the commands' own, and what
/// the tests are told.
const NOT_SETTINGS: &[&str] = &["NEXUS_URL", "NEXUS_TOKEN", "NEXUS_CONFIG", "NEXUS_FIXTURES"];
const NOT_SETTINGS_PREFIXES: &[&str] = &["NEXUS_TEST_", "NEXUS_CHAOS_"];

/// Tables whose keys are the user's own.
const OPEN_TABLES: &[&str] = &["webhooks.secrets", "log.retention_days"];

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    pub store: Store,
    pub auth: Auth,
    pub telemetry: Telemetry,
    pub sql: Sql,
    #[serde(default)]
    pub connections: Vec<Connection>,
}

/// `[server]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Server {
    pub host: std::net::IpAddr,
    pub port: u16,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Store {
    pub url: String,
    pub direct_url: String,
    pub connections_max: u32,
    pub migrate_at_start: bool,
}

/// `[auth]`
#[derive(Clone, Debug, Serialize, Deserialize)]
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
}

/// One of `[[connections]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// What is wrong with a setting, and where it was set.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{origin}: {error}")]
    Syntax {
        /// Which file.
        origin: String,
        /// Where in it, and why.
        error: String,
    },
    /// No such setting.
    #[error("{origin}: unknown setting `{key}`; the manual lists all of them (nexus config --defaults)")]
    Unknown {
        /// The file or the variable.
        origin: String,
        /// The setting.
        key: String,
    },
    /// The setting exists, the value does not fit.
    #[error("{origin}: `{key}` {problem}")]
    Bad {
        /// The file or the variable.
        origin: String,
        /// The setting.
        key: String,
        /// What is wrong with the value (which is not shown: it may be secret).
        problem: String,
    },
}

impl Config {
    /// The defaults, with `file` (or `nexus.toml`, if it is there) and `env`
    /// over them.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let env: BTreeMap<_, _> = env.into_iter().collect();
        let named = file.map(Path::to_path_buf).or_else(|| env.get("NEXUS_CONFIG").map(PathBuf::from));
        let text = match named {
            Some(path) => Some((read(&path)?, path)),
            None => {
                let path = PathBuf::from("nexus.toml");
                path.exists().then(|| read(&path)).transpose()?.map(|text| (text, path))
            }
        };
        let mut table = defaults();
        if let Some((text, path)) = text {
            let origin = path.display().to_string();
            let over = text.parse::<Table>().map_err(|error| syntax(&origin, &error))?;
            merge(&mut table, over, "", &origin)?;
        }
        for (name, value) in &env {
            set_from_env(&mut table, name, value)?;
        }
        let config: Config = Value::Table(table).try_into().map_err(|error: toml::de::Error| ConfigError::Bad {
            origin: "settings".to_owned(),
            key: "…".to_owned(),
            problem: error.to_string().trim().replace('\n', ", "),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The tenant of requests that name none.
    pub fn tenant_by_default(&self) -> Option<&str> {
        if !self.default_tenant.is_empty() {
            return Some(&self.default_tenant);
        }
        let mut tenants: Vec<&str> = self.connections.iter().map(|connection| connection.tenant.as_str()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        match tenants[..] {
            [] => Some("default"),
            [only] => Some(only),
            _ => None,
        }
    }

    /// All of it as TOML, with what is secret replaced.
    pub fn masked(&self) -> String {
        let mut table = Table::try_from(self).unwrap_or_default();
        mask(&mut table);
        toml::to_string_pretty(&table).unwrap_or_default()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let bad = |key: &str, problem: &str| {
            Err(ConfigError::Bad { origin: "settings".to_owned(), key: key.to_owned(), problem: problem.to_owned() })
        };
        if !(1..=1024).contains(&self.log.partitions) {
            return bad("log.partitions", "must be from 1 to 1024");
        }
        if !(1..=1024).contains(&self.log.segment_mb) {
            return bad("log.segment_mb", "must be from 1 to 1024");
        }
        if !(1..=1024).contains(&self.server.json_depth_max) {
            return bad("server.json_depth_max", "must be from 1 to 1024");
        }
        for name in self.log.retention_days.keys() {
            if pipeline::topics::Topic::from_name(name).is_none_or(|topic| topic.is_compacted()) {
                return bad(
                    &format!("log.retention_days.{name}"),
                    "is no stream; see `nexus tail --help` for the topics",
                );
            }
        }
        if !self.default_tenant.is_empty() && !is_id(&self.default_tenant) {
            return bad("default_tenant", "must be letters, digits, `-`, `_` and `.`, not starting with `_`");
        }
        let mut seen = std::collections::BTreeSet::new();
        for connection in &self.connections {
            let key = format!("connections.{}", connection.id);
            if !is_id(&connection.id) || !is_id(&connection.tenant) || !is_id(&connection.provider) {
                return bad(&key, "needs an id, a tenant and a provider of letters, digits, `-`, `_` and `.`");
            }
            if !seen.insert(&connection.id) {
                return bad(&key, "is there twice");
            }
        }
        Ok(())
    }
}

/// Names that go into keys, paths and URLs as they are. Those with a leading
/// underscore are the hub's own.
pub fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['_', '.'])
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_path_buf(), error })
}

fn syntax(origin: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Syntax { origin: origin.to_owned(), error: error.to_string() }
}

/// The manual is a part of the program, and a test parses it.
fn defaults() -> Table {
    DEFAULTS.parse().expect("the manual is valid TOML")
}

fn merge(base: &mut Table, over: Table, path: &str, origin: &str) -> Result<(), ConfigError> {
    for (name, value) in over {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let open = OPEN_TABLES.contains(&path);
        match (base.get_mut(&name), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over, &key, origin)?,
            (Some(known), value) if known.same_type(&value) => *known = value,
            (Some(known), _) => return Err(bad_type(origin, &key, known)),
            (None, value) if open || key == "connections" => {
                base.insert(name, value);
            }
            (None, _) => return Err(ConfigError::Unknown { origin: origin.to_owned(), key }),
        }
    }
    Ok(())
}

fn bad_type(origin: &str, key: &str, known: &Value) -> ConfigError {
    ConfigError::Bad {
        origin: origin.to_owned(),
        key: key.to_owned(),
        problem: format!("must be of the kind {}", known.type_str()),
    }
}

fn set_from_env(table: &mut Table, name: &str, value: &str) -> Result<(), ConfigError> {
    if let Some(provider) = name.strip_prefix(SECRET_PREFIX) {
        let provider = provider.to_ascii_lowercase().replace('_', "-");
        return set(table, &format!("webhooks.secrets.{provider}"), value, name);
    }
    if let Some((_, path)) = ECOSYSTEM_NAMES.iter().find(|(known, _)| *known == name) {
        return set(table, path, value, name);
    }
    let Some(rest) = name.strip_prefix("NEXUS_") else { return Ok(()) };
    if NOT_SETTINGS.contains(&name) || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(());
    }
    match path_of(table, "", &rest.to_ascii_lowercase()) {
        Some(path) => set(table, &path, value, name),
        None => Err(ConfigError::Unknown { origin: "environment".to_owned(), key: name.to_owned() }),
    }
}

/// The setting whose path, with underscores for dots, is `wanted`.
fn path_of(table: &Table, path: &str, wanted: &str) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Table(inner) => path_of(inner, &key, wanted),
            _ => (key.replace('.', "_") == wanted).then_some(key),
        }
    })
}

fn set(table: &mut Table, path: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let (mut table, mut parts) = (table, path.split('.').peekable());
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            match table.get_mut(part) {
                Some(Value::Table(inner)) => table = inner,
                _ => return Err(ConfigError::Unknown { origin: origin.to_owned(), key: path.to_owned() }),
            }
            continue;
        }
        let value = match table.get(part) {
            Some(known @ Value::Integer(_)) => {
                Value::Integer(text.trim().parse().map_err(|_| bad_type(origin, path, known))?)
            }
            Some(known @ Value::Boolean(_)) => {
                Value::Boolean(text.trim().parse().map_err(|_| bad_type(origin, path, known))?)
            }
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            _ => Value::String(text.to_owned()),
        };
        table.insert(part.to_owned(), value);
    }
    Ok(())
}

fn mask(table: &mut Table) {
    for (name, value) in table.iter_mut() {
        match value {
            Value::Table(inner) if name == "secrets" => inner.iter_mut().for_each(|(_, secret)| hide(secret)),
            Value::Table(inner) => mask(inner),
            Value::Array(items) if name != "secrets" => items.iter_mut().for_each(|item| {
                if let Value::Table(inner) = item {
                    mask(inner);
                }
            }),
            secret if ["secret", "password", "token", "key"].iter().any(|word| name.contains(word)) => hide(secret),
            _ => {}
        }
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) if text.is_empty() => {}
        other => *other = Value::String("********".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn load(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Config::load(None, env(pairs)).map_err(|error| error.to_string())
    }

    fn load_file(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(Some(file.path()), env(&[])).map_err(|error| error.to_string())
    }

    #[test]
    fn the_manual_is_in_force_without_anything_else() {
        let config = load(&[]).expect("defaults");
        assert_eq!(config.server.port, 3000);
        assert_eq!(config.log.durability, Durability::Sync);
        assert_eq!(config.tenant_by_default(), Some("default"));
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let config = load(&[
            ("PORT", "4000"),
            ("NEXUS_DATA_DIR", "/somewhere"),
            ("NEXUS_LOG_DURABILITY", "interval"),
            ("NEXUS_ALLOW_UNSIGNED", "true"),
            ("WEBHOOK_SECRET_ACME_CI", "s1"),
            ("SLACK_SIGNING_SECRET", "s2"),
            ("NEXUS_FIXTURES", "ignored"),
            ("HOME", "ignored"),
        ])
        .expect("valid");
        assert_eq!(config.server.port, 4000);
        assert_eq!(config.data_dir, PathBuf::from("/somewhere"));
        assert_eq!(config.log.durability, Durability::Interval);
        assert!(config.allow_unsigned);
        assert_eq!(config.webhooks.secrets["acme-ci"], "s1");
        assert_eq!(config.webhooks.secrets["slack"], "s2");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (problem, named) in [
            (load(&[("NEXUS_NO_SUCH", "1")]), "NEXUS_NO_SUCH"),
            (load(&[("PORT", "many")]), "PORT"),
            (load(&[("PORT", "70000")]), "port"),
            (load(&[("NEXUS_LOG_DURABILITY", "often")]), "durability"),
            (load(&[("NEXUS_LOG_PARTITIONS", "0")]), "log.partitions"),
            (load(&[("NEXUS_DEFAULT_TENANT", "a/b")]), "default_tenant"),
            (load_file("[server]\nprot = 1"), "server.prot"),
            (load_file("[server]\nport = \"1\""), "server.port"),
            (load_file("[log.retention_days]\nnothing = 1"), "log.retention_days.nothing"),
            (load_file("server = 1 1"), "1"),
            (load_file("[[connections]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"p\"\nx = 1"), "x"),
        ] {
            let error = problem.expect_err(named);
            assert!(error.contains(named), "{error:?} does not name {named:?}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let config = load_file(
            "[webhooks.secrets]\nstripe = \"hush-1\"\n[kafka]\nsasl_password = \"hush-2\"\n\
             [[connections]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"p\"\nsecret = \"hush-3\"\nsecrets = [\"hush-4\"]",
        )
        .expect("valid");
        let shown = config.masked();
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("stripe = \"********\""), "{shown}");
        assert_eq!(config.tenant_by_default(), Some("t"));
    }

    #[test]
    fn a_default_tenant_is_only_guessed_when_there_is_one() {
        let two = "[[connections]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"p\"\n\
                   [[connections]]\nid = \"b\"\ntenant = \"u\"\nprovider = \"p\"\n";
        assert_eq!(load_file(two).expect("valid").tenant_by_default(), None);
    }
}
