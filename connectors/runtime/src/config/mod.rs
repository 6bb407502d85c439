//! What is in force: the defaults, a file over them, the environment over both.
//!
//! `deploy/default.toml` is the manual and the list of keys at once: what does
//! not stand there is unknown. An unknown key or a value of another kind is an
//! error that names the key and where it was set. What is secret is shown
//! nowhere: not by [`Config::masked`], and not by `Debug`.

mod gateway;
mod governance;
mod loading;
mod masking;
mod memory;
mod mirror;
mod settings;
mod upkeep;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use self::{
    loading::{defaults, merge, read, remark, set_from_env, syntax},
    masking::mask,
};

pub use gateway::AgentSettings;
pub use governance::GovernanceSettings;
pub use memory::{MemorySettings, QdrantLayout};
pub use mirror::MirrorSettings;
pub use settings::*;
pub use upkeep::UpkeepSettings;

/// The manual.
pub const DEFAULTS: &str = include_str!("../../../../deploy/default.toml");

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
    #[error("{origin}: unknown setting `{key}`{hint}; the manual lists all of them (nexus config --defaults)")]
    Unknown {
        /// The file or the variable.
        origin: String,
        /// The setting.
        key: String,
        /// Which one may be meant, as a part of the sentence.
        hint: String,
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

    /// What is to be said about variables that nothing reads, although their names
    /// look as if something should; a line each, never with a value.
    pub fn remarks(names: impl IntoIterator<Item = String>) -> Vec<String> {
        names.into_iter().filter_map(|name| remark(&name)).collect()
    }

    /// The tenant of requests that name none: the one that was set, else the
    /// only one of the connections and of the `known`.
    pub fn tenant_by_default<'a>(&'a self, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        if !self.default_tenant.is_empty() {
            return Some(&self.default_tenant);
        }
        let of_connections = self.connections.iter().map(|connection| connection.tenant.as_str());
        let mut tenants = of_connections.chain(known);
        let Some(first) = tenants.next() else { return Some("default") };
        tenants.all(|tenant| tenant == first).then_some(first)
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
        if !(4..=15).contains(&self.auth.bcrypt_cost) {
            return bad("auth.bcrypt_cost", "must be from 4 to 15");
        }
        if !self.store.url.is_empty()
            && !["postgres://", "postgresql://"].iter().any(|scheme| self.store.url.starts_with(scheme))
        {
            return bad("store.url", "must be empty (SQLite in data_dir) or begin with postgres://");
        }
        let public = &self.server.public_url;
        if !public.is_empty() && !["http://", "https://"].iter().any(|scheme| public.starts_with(scheme)) {
            return bad("server.public_url", "must be empty or begin with https:// (or http://)");
        }
        if let Err((key, problem)) = self.governance.check() {
            return bad(&key, &problem);
        }
        for (connector, own) in [("mirror", &self.retries.mirror), ("lookups", &self.retries.lookups)] {
            if let Some(name) = own.keys().find(|name| !self.providers.is_called(name)) {
                return bad(&format!("retries.{connector}.{name}"), "is no provider that is called");
            }
            let mut all = own.values().chain([&self.retries.attempts_max]);
            if !all.all(|attempts| (1..=100).contains(attempts)) {
                return bad(&format!("retries.{connector}"), "attempts must be from 1 to 100");
            }
        }
        if !matches!(&*self.memory.embedder, "auto" | "hashed" | "minilm" | "openai") {
            return bad("memory.embedder", "must be auto, minilm, openai or hashed");
        }
        if !matches!(&*self.memory.summariser, "auto" | "extractive" | "openai") {
            return bad("memory.summariser", "must be auto, extractive or openai");
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
        assert_eq!(config.tenant_by_default([]), Some("default"));
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
            ("CORS_ORIGINS", "https://a.example, https://b.example"),
            ("DATABASE_URL", "postgres://nexus:hush@db.example/nexus"),
            ("NEXUS_FIXTURES", "ignored"),
            ("NEXUS_PUBLIC_URL", "https://hub.example"),
            ("GITHUB_CLIENT_SECRET", "s3"),
            ("HOME", "ignored"),
        ])
        .expect("valid");
        assert_eq!(config.server.port, 4000);
        assert_eq!(config.data_dir, PathBuf::from("/somewhere"));
        assert_eq!(config.log.durability, Durability::Interval);
        assert!(config.allow_unsigned);
        assert_eq!(config.server.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(config.store.url, "postgres://nexus:hush@db.example/nexus");
        assert_eq!(config.webhooks.secrets["acme-ci"], "s1");
        assert_eq!(config.webhooks.secrets["slack"], "s2");
        assert_eq!(
            (&*config.server.public_url, config.oauth.get("github_client_secret")),
            ("https://hub.example", "s3")
        );
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
            (load(&[("DATABASE_URL", "mysql://db")]), "store.url"),
            (load(&[("NEXUS_PUBLIC_URL", "hub.example")]), "server.public_url"),
            (load(&[("NEXUS_AUTH_BCRYPT_COST", "40")]), "auth.bcrypt_cost"),
            (load(&[("NEXUS_MEMORY_EMBEDDER", "word2vec")]), "memory.embedder"),
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
    fn a_slip_in_a_name_is_not_silently_ignored() {
        for (name, meant) in [
            ("OPENCODE_SIDECAR_TIMEOU", "`OPENCODE_SIDECAR_TIMEOUT`?"),
            ("OPENCODE_SIDECAR_PORT", "OPENCODE_SIDECAR_PORT"),
            ("NEXUS_SERVER_PROT", "`NEXUS_SERVER_PORT`?"),
            ("NEXUS_LOG_DURABILTY", "`NEXUS_LOG_DURABILITY`?"),
        ] {
            let error = load(&[(name, "1")]).expect_err(name);
            assert!(error.contains(name) && error.contains(meant), "{error:?}");
        }
        let remark = |name: &str| Config::remarks([name.to_owned()]).pop();
        for (name, meant) in [
            ("OPENCODE_SIDECAR_URL", "no effect"),
            ("SLACK_BOT_TOKN", "`SLACK_BOT_TOKEN`?"),
            ("SLACK_APP_TOKEN", "no setting"),
            ("CLICKUP_API_TOKENS", "`CLICKUP_API_TOKEN`?"),
            ("GITHUB_API_ULR", "`GITHUB_API_URL`?"),
            ("JIRA_TOKEN", "no setting"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "no setting"),
            ("LANGFUSE_SECRETKEY", "`LANGFUSE_SECRET_KEY`?"),
            ("QDRANT_ULR", "`QDRANT_URL`?"),
            ("KAFKA_BROKER", "`KAFKA_BROKERS`?"),
        ] {
            assert!(load(&[(name, "a secret")]).is_ok(), "{name} may be another program's");
            let told = remark(name).unwrap_or_else(|| panic!("{name} is ignored"));
            assert!(told.contains(name) && told.contains(meant) && !told.contains("a secret"), "{told}");
        }
        for name in ["HOME", "SLACK_BOT_TOKEN", "WEBHOOK_SECRET_ACME", "GITHUB_WORKSPACE", "KAFKA_HEAP_OPTS", "PORT"] {
            assert_eq!(remark(name), None);
        }
    }

    #[test]
    fn every_name_is_in_the_manual() {
        for (name, path) in loading::ECOSYSTEM_NAMES {
            let setting = path.split('.').next_back().expect("a setting");
            assert!(DEFAULTS.contains(name), "the manual does not name {name}");
            assert!(path.starts_with("webhooks.secrets.") || DEFAULTS.contains(&format!("\n{setting} = ")), "{path}");
        }
    }

    #[test]
    fn secrets_are_masked() {
        let config = load_file(
            "[webhooks.secrets]\nstripe = \"hush-1\"\n[kafka]\nsasl_password = \"hush-2\"\n\
             [store]\nurl = \"postgres://nexus:hush-5@db.example/nexus\"\n\
             [oauth]\nslack_client_secret = \"hush-8\"\n\
             [auth]\njwt_secret = \"hush-6\"\nencryption_key = \"hush-7\"\n\
             [[connections]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"p\"\nsecret = \"hush-3\"\nsecrets = [\"hush-4\"]",
        )
        .expect("valid");
        let shown = config.masked();
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("postgres://nexus:********@db.example/nexus"), "{shown}");
        let debugged =
            format!("{config:?} {:?} {:?} {:?} {:?}", config.webhooks, config.auth, config.connections, config.oauth);
        assert!(!debugged.contains("hush"), "{debugged}");
        assert!(shown.contains("stripe = \"********\""), "{shown}");
        assert_eq!(config.tenant_by_default([]), Some("t"));
    }

    #[test]
    fn a_default_tenant_is_only_guessed_when_there_is_one() {
        let two = "[[connections]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"p\"\n\
                   [[connections]]\nid = \"b\"\ntenant = \"u\"\nprovider = \"p\"\n";
        assert_eq!(load_file(two).expect("valid").tenant_by_default([]), None);
        let none = load(&[]).expect("valid");
        assert_eq!(none.tenant_by_default(["t"]), Some("t"));
        assert_eq!(none.tenant_by_default(["t", "u"]), None);
    }
}
