//! What a connection to Kafka is set to, and the clients' configurations made
//! from it: the only place that names librdkafka's keys.

use std::{collections::BTreeMap, fmt, time::Duration};

use pipeline::topics::Topic;
use rdkafka::ClientConfig;

/// The largest record that is taken.
pub(super) const RECORD_BYTES_MAX: usize = pipeline::ports::RECORD_BYTES_MAX;
/// The same with Kafka's own framing.
pub(super) const MESSAGE_BYTES_MAX: usize = RECORD_BYTES_MAX + (1 << 20);
/// A commit that takes longer has failed; the broker ends it by itself soon after.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach Kafka and what to create there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port`, several divided by commas (`KAFKA_BROKERS`).
    pub brokers: String,
    /// The partitions of every topic, for ever: a tenant's place depends on it.
    pub partitions: u32,
    /// Put before every topic's, group's and transaction's name.
    pub topic_prefix: String,
    /// How this process calls itself to the brokers.
    pub client_id: String,
    /// A name that survives restarts of this process and that no other has
    /// (`group.instance.id`). With it, a restart keeps its partitions without
    /// disturbing the group.
    pub instance_id: Option<String>,
    /// Copies of each partition; the brokers' default when not given.
    pub replication: Option<u16>,
    /// `PLAINTEXT`, `SASL_PLAINTEXT`, `SSL` or `SASL_SSL`
    /// (`KAFKA_SECURITY_PROTOCOL`).
    pub security_protocol: Option<String>,
    /// How to sign in (`KAFKA_SASL_*`).
    pub sasl: Option<Sasl>,
    /// The file of the authority that signed the brokers' certificates
    /// (`KAFKA_SSL_CA`).
    pub ssl_ca: Option<String>,
    /// After which silence a worker is taken for dead and replaced.
    pub session_timeout_ms: u32,
    /// How long an append may take before it is given up.
    pub append_timeout_ms: u32,
    /// How many bytes may wait to be appended; beyond it, callers are told to
    /// come back.
    pub append_bytes_max: usize,
    /// Days to keep a stream where `TOPICS` should not decide.
    pub keep_days: BTreeMap<Topic, u16>,
}

/// Credentials for SASL.
#[derive(Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who.
    pub username: String,
    /// The secret, never printed.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sasl({}, {}, …)", self.mechanism, self.username)
    }
}

impl Settings {
    /// The defaults, for these brokers.
    pub fn new(brokers: impl Into<String>, partitions: u32) -> Self {
        Settings {
            brokers: brokers.into(),
            partitions: partitions.max(1),
            topic_prefix: String::new(),
            client_id: "nexus".to_owned(),
            instance_id: None,
            replication: None,
            security_protocol: None,
            sasl: None,
            ssl_ca: None,
            // The least that brokers allow by default.
            session_timeout_ms: 6_000,
            // Longer than a broker's restart, shorter than a sender's patience
            // with a load balancer.
            append_timeout_ms: 15_000,
            append_bytes_max: 64 << 20,
            keep_days: BTreeMap::new(),
        }
    }

    /// What Kafka calls a topic.
    pub(super) fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.name())
    }

    /// What Kafka calls a group.
    pub(super) fn group_name(&self, group: &str) -> String {
        format!("{}{group}", self.topic_prefix)
    }

    /// What every client needs.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            // The default waits up to ten seconds after a broker came back.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.max.ms", "500")
            .set("socket.nagle.disable", "true")
            .set("socket.connection.setup.timeout.ms", "5000");
        if let Some(protocol) = &self.security_protocol {
            config.set("security.protocol", protocol);
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanisms", &sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        if let Some(ca) = &self.ssl_ca {
            config.set("ssl.ca.location", ca);
        }
        config
    }

    /// For appends from all threads.
    pub(super) fn appender(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // What queued during the last request goes in one batch; there is
            // no need to wait for more.
            .set("linger.ms", "0")
            .set("message.timeout.ms", self.append_timeout_ms.to_string())
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            // The appender counts by itself and refuses before these do.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", (self.append_bytes_max / 512 + 2 * MESSAGE_BYTES_MAX / 1024).to_string())
            .set("compression.type", "zstd")
            // Small batches are a round trip's worth of time; packing hard is not.
            .set("compression.level", "1");
        config
    }

    /// For the commits of one session.
    pub(super) fn transactions(&self, group: &str, partition: u32) -> ClientConfig {
        let mut config = self.appender();
        let timeout_ms = COMMIT_TIMEOUT.as_millis();
        config
            .set("transactional.id", format!("{}{group}-{partition}", self.topic_prefix))
            .set("transaction.timeout.ms", (timeout_ms + 5_000).to_string())
            .set("message.timeout.ms", timeout_ms.to_string())
            // A transaction that follows closely finds the one before still being
            // written down, and asks again.
            .set("retry.backoff.ms", "5")
            .set("retry.backoff.max.ms", "200")
            // Success is known from the transaction itself.
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.kbytes", "2097151");
        config
    }

    /// For the feeds: assigned by hand, never in a group.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Assignment by hand needs a name, though nobody ever joins it.
            .set("group.id", self.group_name("nexus.readers"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // A lost position is an error to be told, not a silent jump.
            .set("auto.offset.reset", "error")
            // One request is under way to each broker: a partition that is added
            // waits for it to end.
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "100")
            // What may wait unread for each partition.
            .set("queued.max.messages.kbytes", "4096")
            .set("queued.min.messages", "10000");
        config
    }

    /// For the member of a group, which only learns what it owns.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.group_name(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // The same partition of every input goes to the same member, which
            // the newer assignors do not promise.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (self.session_timeout_ms / 4).to_string());
        if let Some(instance) = &self.instance_id {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// For looking at a group from outside.
    pub(super) fn observer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.group_name(group))
            .set("enable.auto.commit", "false")
            // The end of the log, and offsets without waiting for a commit that
            // is under way.
            .set("isolation.level", "read_uncommitted");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let mut settings = Settings::new("localhost:9092", 1);
        settings.sasl =
            Some(Sasl { mechanism: "PLAIN".into(), username: "hub".into(), password: "open sesame".into() });
        assert!(!format!("{settings:?}").contains("sesame"));
    }

    #[test]
    fn librdkafka_knows_every_key() {
        let settings = Settings::new("localhost:9092", 1);
        for config in [
            settings.appender(),
            settings.transactions("pipeline", 0),
            settings.reader(),
            settings.member("pipeline"),
            settings.observer("pipeline"),
        ] {
            config.create_native_config().expect("a valid configuration");
        }
    }
}
