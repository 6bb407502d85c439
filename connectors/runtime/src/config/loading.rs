//! From text to a table: which names there are, and what goes over what.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, DEFAULTS};

/// Names that the ecosystem expects, and the settings they are.
pub(super) const ECOSYSTEM_NAMES: &[(&str, &str)] = &[
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
    ("CLICKUP_API_URL", "providers.clickup_api_url"),
    ("SLACK_API_URL", "providers.slack_api_url"),
    ("GITHUB_API_URL", "providers.github_api_url"),
    ("JIRA_API_URL", "providers.jira_api_url"),
    ("CLICKUP_API_TOKEN", "providers.clickup_api_token"),
    ("SLACK_BOT_TOKEN", "providers.slack_bot_token"),
    ("GITHUB_TOKEN", "providers.github_token"),
    ("OPENAI_API_KEY", "memory.openai_api_key"),
    ("OPENAI_BASE_URL", "memory.openai_base_url"),
    ("QDRANT_URL", "memory.qdrant_url"),
    ("QDRANT_API_KEY", "memory.qdrant_api_key"),
    ("NEXUS_ALLOW_PRIVATE_TARGETS", "providers.allow_private_targets"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "traces.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces.otlp_traces_endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "traces.otlp_headers"),
    ("OTEL_SERVICE_NAME", "traces.service_name"),
    ("OTEL_TRACES_SAMPLER", "traces.sampler"),
    ("OTEL_TRACES_SAMPLER_ARG", "traces.sampler_arg"),
    ("OTEL_BSP_SCHEDULE_DELAY", "traces.schedule_delay_ms"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "traces.export_timeout_ms"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "traces.queue_spans_max"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "traces.batch_spans_max"),
    ("LANGFUSE_HOST", "langfuse.host"),
    ("LANGFUSE_PUBLIC_KEY", "langfuse.public_key"),
    ("LANGFUSE_SECRET_KEY", "langfuse.secret_key"),
    ("LANGFUSE_PROJECT_ID", "langfuse.project_id"),
    ("KUBERNETES_SERVICE_HOST", "kubernetes.host"),
    ("KUBERNETES_SERVICE_PORT", "kubernetes.port"),
    ("NEXUS_PUBLIC_URL", "server.public_url"),
    ("SLACK_CLIENT_ID", "oauth.slack_client_id"),
    ("SLACK_CLIENT_SECRET", "oauth.slack_client_secret"),
    ("CLICKUP_CLIENT_ID", "oauth.clickup_client_id"),
    ("CLICKUP_CLIENT_SECRET", "oauth.clickup_client_secret"),
    ("GITHUB_CLIENT_ID", "oauth.github_client_id"),
    ("GITHUB_CLIENT_SECRET", "oauth.github_client_secret"),
];

/// `WEBHOOK_SECRET_ACME_CI` is the secret of the provider `acme-ci`.
const SECRET_PREFIX: &str = "WEBHOOK_SECRET_";

/// Variables with our prefix that are no settings: the commands' own, and what
/// the tests are told.
const NOT_SETTINGS: &[&str] = &["NEXUS_URL", "NEXUS_TOKEN", "NEXUS_CONFIG", "NEXUS_FIXTURES"];
const NOT_SETTINGS_PREFIXES: &[&str] = &["NEXUS_TEST_", "NEXUS_CHAOS_"];

/// Names that are promised, for roles that are not there yet.
const NO_EFFECT_YET: &[&str] = &["OPENCODE_SIDECAR_URL", "OPENCODE_SIDECAR_TIMEOUT", "OPENCODE_SERVER_PASSWORD"];

/// Beside `NEXUS_`, prefixes that nobody else has: an unknown name is an error.
const OWN_PREFIXES: &[&str] = &["OPENCODE_SIDECAR_"];

/// Prefixes that other programs have too: an unknown name gets a remark; where
/// they set dozens of names of their own, only one that looks like a slip.
const SHARED_PREFIXES: &[(&str, bool)] = &[
    ("OPENCODE_", true),
    ("SLACK_", false),
    ("CLICKUP_", false),
    ("JIRA_", false),
    ("GITHUB_", true),
    ("OPENAI_", false),
    ("OTEL_", false),
    ("LANGFUSE_", false),
    ("QDRANT_", true),
    ("KAFKA_", true),
    ("WEBHOOK_", false),
];

/// Letters that a slip of the hand changes at most.
const TYPO_EDITS_MAX: usize = 2;

/// Tables whose keys are the user's own.
const OPEN_TABLES: &[&str] =
    &["webhooks.secrets", "log.retention_days", "retries.mirror", "retries.lookups", "usage.prices"];

pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_path_buf(), error })
}

pub(super) fn syntax(origin: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Syntax { origin: origin.to_owned(), error: error.to_string() }
}

/// The defaults. The manual is a part of the program, and a test parses it.
pub(super) fn defaults() -> Table {
    DEFAULTS.parse().expect("the manual is valid TOML")
}

pub(super) fn merge(base: &mut Table, over: Table, path: &str, origin: &str) -> Result<(), ConfigError> {
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
            (None, _) => return Err(unknown(origin, &key, "")),
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

pub(super) fn set_from_env(table: &mut Table, name: &str, value: &str) -> Result<(), ConfigError> {
    if let Some(provider) = name.strip_prefix(SECRET_PREFIX) {
        let provider = provider.to_ascii_lowercase().replace('_', "-");
        return set(table, &format!("webhooks.secrets.{provider}"), value, name);
    }
    if let Some((_, path)) = ECOSYSTEM_NAMES.iter().find(|(known, _)| *known == name) {
        return set(table, path, value, name);
    }
    if NO_EFFECT_YET.contains(&name) {
        return Ok(());
    }
    if OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(unknown("environment", name, &hint(table, name)));
    }
    let Some(rest) = name.strip_prefix("NEXUS_") else { return Ok(()) };
    if NOT_SETTINGS.contains(&name) || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(());
    }
    match path_of(table, "", &rest.to_ascii_lowercase()) {
        Some(path) => set(table, &path, value, name),
        None => Err(unknown("environment", name, &hint(table, name))),
    }
}

fn unknown(origin: &str, key: &str, hint: &str) -> ConfigError {
    ConfigError::Unknown { origin: origin.to_owned(), key: key.to_owned(), hint: hint.to_owned() }
}

/// Which name somebody may have meant, as a part of a sentence; empty if none is
/// near.
fn hint(table: &Table, name: &str) -> String {
    let mut settings = Vec::new();
    if name.starts_with("NEXUS_") {
        names_of(table, "NEXUS", &mut settings);
    }
    let fixed = ECOSYSTEM_NAMES.iter().map(|(known, _)| *known).chain(NO_EFFECT_YET.iter().copied());
    let known = settings.iter().map(String::as_str).chain(fixed).chain(NOT_SETTINGS.iter().copied());
    let near = known.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    match near.filter(|(distance, _)| *distance <= TYPO_EDITS_MAX) {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

/// The variables of all settings.
fn names_of(table: &Table, prefix: &str, names: &mut Vec<String>) {
    for (name, value) in table {
        let name = format!("{prefix}_{}", name.to_ascii_uppercase());
        match value {
            Value::Table(inner) => names_of(inner, &name, names),
            _ => names.push(name),
        }
    }
}

/// What is to be said about a variable that nothing reads, but whose name looks
/// as if something should.
pub(super) fn remark(name: &str) -> Option<String> {
    if NO_EFFECT_YET.contains(&name) {
        return Some(format!("{name} is set, and has no effect: this build has no role that reads it"));
    }
    if name.starts_with(SECRET_PREFIX) || ECOSYSTEM_NAMES.iter().any(|(known, _)| *known == name) {
        return None;
    }
    let (_, is_crowded) = SHARED_PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let hint = hint(&Table::new(), name);
    (!is_crowded || !hint.is_empty()).then(|| format!("{name} is set, and is no setting of this hub{hint}"))
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
                _ => return Err(unknown(origin, path, "")),
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
