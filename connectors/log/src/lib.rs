//! The log's implementations for production: one embedded journal, and Kafka.
//! (The memory one, for tests, is `pipeline::testing`.)

pub mod embedded;
pub mod kafka;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pipeline::{ports::Log, topics::Topic};

use self::{
    embedded::Journal,
    kafka::{KafkaLog, Sasl},
};
use runtime::{
    config::{Config, Durability},
    supervisor::Failure,
};

/// Where the journal is in a data directory.
const FOLDER: &str = "log";

/// A log that is open.
pub struct Opened {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The same, where it is the embedded one, which knows more of itself.
    pub journal: Option<Arc<Journal>>,
}

/// The log that the configuration names. An embedded one is made where there
/// is none.
pub async fn open(config: &Config) -> Result<Arc<dyn Log>, Failure> {
    Ok(open_known(config).await?.log)
}

/// The same, for whoever wants to know which it is.
pub async fn open_known(config: &Config) -> Result<Opened, Failure> {
    if !config.kafka.brokers.is_empty() {
        let log = Arc::new(KafkaLog::open(kafka_settings(config)?).await?);
        return Ok(Opened { log, journal: None });
    }
    let (directory, settings) = (config.data_dir.join(FOLDER), journal_settings(config));
    let journal = tokio::task::spawn_blocking(move || Journal::open(directory, settings)).await??;
    if journal.partitions() != config.log.partitions {
        let (has, wanted) = (journal.partitions(), config.log.partitions);
        journal.close().await?;
        let advice = "a tenant's place depends on it: set it back, or begin with another data_dir";
        return Err(format!("log.partitions is {wanted}, but the journal was made with {has}; {advice}").into());
    }
    let journal = Arc::new(journal);
    Ok(Opened { log: journal.clone(), journal: Some(journal) })
}

/// The same, but only if there is one: a command that looks must not make it.
pub async fn open_existing(config: &Config) -> Result<Arc<dyn Log>, Failure> {
    if !exists(config) {
        let directory = config.data_dir.display();
        return Err(format!("there is no hub and no log in {directory}; name another with NEXUS_DATA_DIR").into());
    }
    open(config).await
}

/// Whether there is a log to open. Kafka is taken to be there.
pub fn exists(config: &Config) -> bool {
    !config.kafka.brokers.is_empty() || config.data_dir.join(FOLDER).is_dir()
}

fn journal_settings(config: &Config) -> embedded::Settings {
    let mb = |count: u64| count.saturating_mul(1 << 20);
    embedded::Settings {
        partitions: config.log.partitions,
        durability: match config.log.durability {
            Durability::Sync => embedded::Durability::Sync,
            Durability::Interval => embedded::Durability::Interval,
        },
        segment_bytes: mb(config.log.segment_mb),
        pending_bytes_max: mb(config.log.pending_mb_max) as usize,
        tail_bytes_max: mb(config.log.cache_mb) as usize,
        keep: retention(config).map(|(topic, days)| (topic, Duration::from_secs(days * 86_400))).collect(),
        ..embedded::Settings::default()
    }
}

fn kafka_settings(config: &Config) -> Result<kafka::Settings, Failure> {
    let kafka = &config.kafka;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut settings = kafka::Settings::new(kafka.brokers.clone(), config.log.partitions);
    settings.topic_prefix.clone_from(&kafka.topic_prefix);
    settings.instance_id = given(&kafka.group_instance_id);
    settings.replication = Some(u16::try_from(kafka.replication)?);
    settings.session_timeout_ms = u32::try_from(kafka.session_timeout_ms)?;
    settings.security_protocol = given(&kafka.security_protocol);
    settings.ssl_ca = given(&kafka.ssl_ca);
    settings.append_bytes_max = (config.log.pending_mb_max << 20) as usize;
    settings.sasl = given(&kafka.sasl_mechanism).map(|mechanism| Sasl {
        mechanism,
        username: kafka.sasl_username.clone(),
        password: kafka.sasl_password.clone(),
    });
    let days = retention(config).map(|(topic, days)| (topic, u16::try_from(days).unwrap_or(u16::MAX)));
    settings.keep_days = days.collect::<BTreeMap<_, _>>();
    Ok(settings)
}

/// What is kept for another time than its topic says. Names were checked when
/// the configuration was read.
fn retention(config: &Config) -> impl Iterator<Item = (Topic, u64)> {
    config.log.retention_days.iter().filter_map(|(name, days)| Some((Topic::from_name(name)?, *days)))
}
