//! Apache Kafka as the log.
//!
//! In: [`Settings`]. Out: [`KafkaLog`], a [`Log`] whose topics are Kafka's,
//! named as in `topics::TOPICS` behind a prefix.
//!
//! How the port's promises are kept:
//!
//! * **append** goes through one idempotent producer with `acks=all`; positions
//!   come from its delivery reports (`append`). Records of one call stay in
//!   order; another process may write between them.
//! * **read** never sees what is not committed (`read_committed`), and knows the
//!   end of a partition as the last stable offset. All readers of a process
//!   share few consumers (`feed`), because each has threads and connections.
//! * **a session** has its own transactional producer, one transactional id for
//!   each group and partition (`session`). Its start is always: fence whoever
//!   had the partition, end their open transaction, and only then ask where the
//!   group is and read the state. So nothing that an older session does later
//!   can take effect, whatever Kafka's group thinks of it.
//! * **the group** (`group`) only says who owns which partition. Its consumer
//!   fetches nothing: the session reads through the same feeds as everybody.

mod append;
mod assignment;
mod config;
mod feed;
mod group;
mod health;
mod lag;
mod read;
mod record;
mod session;
mod topics;
mod watch;

use std::{sync::Arc, time::Duration};

use pipeline::{
    ports::{Lag, Log, LogError, Membership, NewRecord, Pending, Position, Reader, Start, Visibility},
    topics::Topic,
};

use self::{append::Appender, feed::Feeds, lag::Lags, read::KafkaReader, record::unavailable, watch::Watch};
pub use self::{
    config::{Sasl, Settings},
    topics::OpenError,
};

/// How long a question to the broker (metadata, offsets) may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Kafka as the log of this process.
pub struct KafkaLog {
    settings: Arc<Settings>,
    identity: u64,
    appender: Arc<Appender>,
    feeds: Arc<Feeds>,
    lags: Arc<Lags>,
    watch: Watch,
    closed: tokio::sync::watch::Sender<bool>,
}

impl KafkaLog {
    /// Connects, creates the topics that are missing and checks the others.
    pub async fn open(settings: Settings) -> Result<KafkaLog, OpenError> {
        let settings = Arc::new(settings);
        let cluster = topics::prepare(&settings).await?;
        let name = format!("{cluster}/{}", settings.topic_prefix);
        let config = |error| OpenError::Configuration { detail: record::describe(&error) };
        let appender = Arc::new(Appender::new(&settings).map_err(config)?);
        Ok(KafkaLog {
            identity: xxhash_rust::xxh3::xxh3_64(name.as_bytes()),
            watch: Watch::start(&appender).map_err(|error| OpenError::Configuration { detail: error.to_string() })?,
            appender,
            feeds: Arc::new(Feeds::new(settings.clone())),
            lags: Arc::new(Lags::new(settings.clone())),
            settings,
            closed: tokio::sync::watch::Sender::new(false),
        })
    }

    fn open_or_closed(&self) -> Result<(), LogError> {
        if *self.closed.borrow() { Err(LogError::Closed) } else { Ok(()) }
    }
}

impl Log for KafkaLog {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn partitions(&self) -> u32 {
        self.settings.partitions
    }

    fn append(&self, records: Vec<NewRecord>) -> Pending<'static, Vec<Position>> {
        // Handed over at once and not when first polled, so that the order of
        // calls is the order of records.
        let taken = self.open_or_closed().and_then(|()| self.appender.append(records));
        Box::pin(async move { taken?.await })
    }

    fn read(&self, topic: Topic, partition: u32, from: Start, _: Visibility) -> Pending<'_, Box<dyn Reader>> {
        Box::pin(async move {
            self.open_or_closed()?;
            let (feeds, closed) = (self.feeds.clone(), self.closed.subscribe());
            Ok(Box::new(KafkaReader::open(feeds, topic, partition, from, closed).await?) as Box<dyn Reader>)
        })
    }

    fn join(&self, group: &str, inputs: &[Topic]) -> Pending<'_, Box<dyn Membership>> {
        let joined = self
            .open_or_closed()
            .and_then(|()| group::KafkaMembership::join(&self.settings, &self.feeds, group, inputs));
        Box::pin(async move { Ok(Box::new(joined?) as Box<dyn Membership>) })
    }

    fn lag(&self, group: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>> {
        let (group, topics) = (group.to_owned(), topics.to_vec());
        Box::pin(async move {
            self.open_or_closed()?;
            lag::measure(&self.lags, &self.feeds, group, topics).await
        })
    }

    fn ready(&self) -> Result<(), LogError> {
        self.open_or_closed()?;
        self.watch.ready()
    }

    fn close(&self) -> Pending<'_, ()> {
        self.closed.send_replace(true);
        let appender = self.appender.clone();
        Box::pin(async move { blocking(move || appender.flush()).await })
    }
}

/// Runs a question that blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(ask).await.map_err(unavailable)?
}
