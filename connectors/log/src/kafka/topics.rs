//! The topics in Kafka: created where they are missing, checked where they are
//! not, before anything is written or read.

use pipeline::topics::{Keep, Spec, TOPICS, Topic};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{
    ASK_TIMEOUT,
    config::{MESSAGE_BYTES_MAX, Settings},
    record::describe,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// How long new topics may take to get their leaders, on a busy cluster.
const LEADERS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// How often the brokers are asked whether a new topic is there yet.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is not one that Kafka's client takes.
    #[error("the Kafka configuration is wrong: {detail} (TLS needs a build with the feature kafka-tls)")]
    Configuration {
        /// Which key, and why.
        detail: String,
    },
    /// No broker answered.
    #[error("no Kafka broker of {brokers} answered: {detail}")]
    Unavailable {
        /// What was tried.
        brokers: String,
        /// What happened.
        detail: String,
    },
    /// A topic exists with another number of partitions than configured.
    #[error(
        "topic {topic} has {found} partitions and the configuration says {configured}; \
         set the configuration to {found}, or name a new topic prefix"
    )]
    Partitions {
        /// Its full name.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many were configured.
        configured: u32,
    },
    /// A topic could not be created.
    #[error("topic {topic} could not be created: {detail}")]
    Create {
        /// Its full name.
        topic: String,
        /// What the broker said.
        detail: String,
    },
}

/// Creates and checks all topics; answers with the cluster's id.
pub(super) async fn prepare(settings: &Settings) -> Result<String, OpenError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client().create().map_err(|error| OpenError::Configuration { detail: describe(&error) })?;
    create(settings, &admin).await?;
    let settings = settings.clone();
    let check = move || {
        for spec in TOPICS {
            check(&settings, &admin, spec.topic)?;
        }
        let unnamed = || OpenError::Unavailable {
            brokers: settings.brokers.clone(),
            detail: "the cluster does not tell its id".to_owned(),
        };
        admin.inner().fetch_cluster_id(ASK_TIMEOUT).ok_or_else(unnamed)
    };
    tokio::task::spawn_blocking(check).await.map_err(|error| OpenError::Configuration { detail: error.to_string() })?
}

async fn create(settings: &Settings, admin: &AdminClient<DefaultClientContext>) -> Result<(), OpenError> {
    let unavailable =
        |error: KafkaError| OpenError::Unavailable { brokers: settings.brokers.clone(), detail: describe(&error) };
    let names: Vec<_> =
        TOPICS.iter().map(|spec| (spec, settings.topic_name(spec.topic), keep_ms(settings, spec))).collect();
    let message_bytes_max = MESSAGE_BYTES_MAX.to_string();
    let topics: Vec<_> = names
        .iter()
        .map(|(spec, name, keep_ms)| describe_topic(settings, spec, name, keep_ms, &message_bytes_max))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)).request_timeout(Some(ASK_TIMEOUT));
    for created in admin.create_topics(&topics, &options).await.map_err(unavailable)? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(OpenError::Create { topic, detail: code.to_string() }),
        }
    }
    Ok(())
}

fn keep_ms(settings: &Settings, spec: &Spec) -> String {
    match spec.keep {
        Keep::Latest => "-1".to_owned(),
        Keep::Days(days) => {
            (u64::from(settings.keep_days.get(&spec.topic).copied().unwrap_or(days)) * DAY_MS).to_string()
        }
    }
}

fn describe_topic<'a>(
    settings: &Settings,
    spec: &Spec,
    name: &'a str,
    keep_ms: &'a str,
    message_bytes_max: &'a str,
) -> NewTopic<'a> {
    let replication = settings.replication.map_or(-1, i32::from);
    let topic = NewTopic::new(name, settings.partitions as i32, TopicReplication::Fixed(replication))
        .set("cleanup.policy", if spec.keep == Keep::Latest { "compact" } else { "delete" })
        .set("retention.ms", keep_ms)
        .set("max.message.bytes", message_bytes_max);
    // The newest segment is never compacted, and all of it is read when a
    // worker restores its state: so it must not grow large.
    let topic = match spec.keep {
        Keep::Latest => {
            topic.set("segment.bytes", "67108864").set("segment.ms", "3600000").set("min.cleanable.dirty.ratio", "0.2")
        }
        Keep::Days(_) => topic,
    };
    // With three copies, an acknowledged record is on two of them at least.
    let topic = if replication >= 3 { topic.set("min.insync.replicas", "2") } else { topic };
    // Anybody may write here; the time by which the pipeline judges is the
    // broker's and not theirs.
    if spec.topic == Topic::WebhooksRaw { topic.set("message.timestamp.type", "LogAppendTime") } else { topic }
}

/// Waits until the topic has leaders, and holds it against the configuration.
fn check(settings: &Settings, admin: &AdminClient<DefaultClientContext>, topic: Topic) -> Result<(), OpenError> {
    let name = settings.topic_name(topic);
    let deadline = std::time::Instant::now() + LEADERS_TIMEOUT;
    loop {
        let unavailable = |detail: String| OpenError::Unavailable { brokers: settings.brokers.clone(), detail };
        let metadata =
            admin.inner().fetch_metadata(Some(&name), ASK_TIMEOUT).map_err(|error| unavailable(describe(&error)))?;
        let found = metadata.topics().iter().find(|found| found.name() == name);
        let partitions = found.map_or(&[][..], |found| found.partitions());
        if !partitions.is_empty() {
            if partitions.len() != settings.partitions as usize {
                let (found, configured) = (partitions.len(), settings.partitions);
                return Err(OpenError::Partitions { topic: name, found, configured });
            }
            if partitions.iter().all(|partition| partition.leader() >= 0) {
                return Ok(());
            }
        }
        if std::time::Instant::now() > deadline {
            return Err(unavailable(format!("topic {name} has no leader")));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
