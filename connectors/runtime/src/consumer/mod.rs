//! THE loop of whoever reads a topic as a consumer group and does what its
//! records ask for: lookups, the mirror, the memory, the tools, alerts.
//!
//! In: one topic. Out: what [`Consumer::process`] makes of each record, committed
//! with the group's position. Guaranteed, for every consumer alike:
//!
//! * The group moves on only past records that are answered, together with their
//!   outputs. After a crash a record may be processed again; none is left out.
//! * Each partition has a thread of its own for the log; the work itself runs on
//!   the runtime that all roles share, at the same time, except that requests of
//!   one [lane](Consumer::lane) go one after the other, in the log's order.
//! * Bounded numbers of records are in memory, of one tenant and of all. Further
//!   ones of a tenant are refused, if the consumer has an answer for that, or wait
//!   in the log and are read again when there is room. A tenant's flood holds up
//!   nobody else, and every tenant may have one record in hand.
//! * What is no request, and what the code of a consumer panics at, costs one
//!   record: it goes to `dead.letters`.
//! * After a stop nothing is begun; what is under way may end for a moment.
//!
//! [`GroupLoad`] says how much is in hand, the same for every group. Readers
//! without a group, whose position stands in the database with what they wrote,
//! are another thing (`store::batch_writer`); so are the pipeline's workers, which
//! keep state and commit it with every batch.

mod in_flight;
mod lanes;
mod load;
mod parking;
mod partition;
#[cfg(test)]
mod tests;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use pipeline::{
    ports::{Log, LogError, NewRecord, Record, Session},
    topics::Topic,
    turn::Turn,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

pub use load::GroupLoad;

use crate::{
    sessions::{Sessions, Stop},
    supervisor::{Failure, RoleContext},
};

/// Who a consumer is, and how much it takes at once.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerSettings {
    /// The consumer group.
    pub group: &'static str,
    /// What it reads.
    pub topic: Topic,
    /// The stage of its dead letters, and the name of its threads.
    pub name: &'static str,
    /// Records of one partition between the oldest that is not answered and the
    /// newest that was read: what a crash has processed again.
    pub open_max: usize,
    /// Records in hand, of all partitions of this process.
    pub in_hand_max: usize,
    /// Records in hand, of one tenant and partition.
    pub in_hand_of_tenant_max: usize,
    /// Requests of one lane that are processed together.
    pub batch_max: usize,
    /// When outputs are committed.
    pub commits: Commits,
    /// How long what is under way may go on after a stop.
    pub stop_grace: Duration,
}

/// When the outputs of a record are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commits {
    /// As soon as it is answered. A crash may have them made again.
    WhenAnswered,
    /// When all records before it are answered, too: exactly once.
    WithPosition,
}

/// What a consumer makes of its records. See the module for what it need not do.
pub trait Consumer: Send + Sync + Sized + 'static {
    /// What a record asks for.
    type Request: Send + 'static;
    /// What is remembered of a partition while this member has it.
    type Partition: 'static;

    /// Who it is.
    fn settings(&self) -> ConsumerSettings;

    /// The wall clock.
    fn now_ms(&self) -> u64;

    /// What must be known of a partition before its first record is read.
    fn open(&self, partition: u32) -> impl Future<Output = Result<Self::Partition, LogError>>;

    /// Reads a record. May be asked again for the same one.
    fn parse(&self, record: &Record) -> Parsed<Self::Request>;

    /// Behind whom a request waits: one lane's go one after the other. Without a
    /// lane it waits for nobody.
    fn lane(&self, _request: &Self::Request) -> Option<Arc<str>> {
        None
    }

    /// Whether a request is processed together with the one before it in its lane.
    fn joins(&self, _before: &Self::Request, _next: &Self::Request) -> bool {
        false
    }

    /// What is said to a request for which there is no room. Nothing: it waits.
    fn refuse(&self, _request: &Self::Request, _record: &Record) -> Option<Vec<NewRecord>> {
        None
    }

    /// Does what requests ask for: one, or several that [join](Consumer::joins).
    /// Called in the log's order; what it returns runs at the same time as others.
    fn process(&self, partition: &mut Self::Partition, batch: Vec<InHand<Self::Request>>) -> Processing<Self::Request>;
}

/// Work under way.
pub type Processing<R> = Pin<Box<dyn Future<Output = Processed<R>> + Send>>;

/// What a record is.
#[derive(Debug)]
pub enum Parsed<R> {
    /// Somebody else's.
    Ignored,
    /// No request, for this reason.
    Dead(String),
    /// A request.
    Request(R),
}

/// What became of requests.
pub enum Processed<R> {
    /// They are answered, with these outputs.
    Answered(Vec<NewRecord>),
    /// They cannot be done yet, and are processed again after this time, before
    /// anything else of their lane.
    NotYet(Vec<InHand<R>>, Duration),
    /// The process stops before they could be done: left to the next start.
    Abandoned,
}

/// A request in hand.
pub struct InHand<R> {
    /// What is asked for.
    pub request: R,
    /// Where its record is, in the partition.
    pub offset: u64,
    /// What is written before it is answered.
    pub early: EarlyOutputs,
}

/// Writes outputs of a request that is not answered yet. What is written waits in
/// a channel that is bounded by the requests in hand.
#[derive(Clone)]
pub struct EarlyOutputs(mpsc::UnboundedSender<Early>);

struct Early {
    outputs: Vec<NewRecord>,
    durable: Option<oneshot::Sender<()>>,
}

impl EarlyOutputs {
    /// Writes them with the next commit, if the session still is.
    pub fn write(&self, outputs: Vec<NewRecord>) {
        let _ = self.0.send(Early { outputs, durable: None });
    }

    /// Writes them and waits until they are durable; whether they are. If not,
    /// the session has ended or is about to.
    pub async fn write_durable(&self, outputs: Vec<NewRecord>) -> bool {
        let (durable, is_durable) = oneshot::channel();
        self.0.send(Early { outputs, durable: Some(durable) }).is_ok() && is_durable.await.is_ok()
    }
}

/// Runs a consumer until it is told to stop, or until the log fails.
pub async fn run<C: Consumer>(log: Arc<dyn Log>, consumer: C, context: RoleContext) -> Result<(), Failure> {
    let settings = consumer.settings();
    let load = context.board.load_of(settings.group, settings.topic);
    let sessions = Sessions::join(&*log, settings.group, &[settings.topic], settings.name).await?;
    // The work is done here, where the other waiting is done.
    let (consumer, shared) = (Arc::new(consumer), Handle::current());
    let work = async move |session: &mut dyn Session, stop: &Stop| {
        partition::drive(session, &*log, &*consumer, &load, &shared, stop).await
    };
    context.running();
    Ok(sessions.run(context.stop.clone(), work).await?)
}

/// The dead letter of a record, and what goes with it.
pub fn dead_letter(log: &dyn Log, now_ms: u64, record: &Record, stage: &str, reason: &str) -> Vec<NewRecord> {
    let mut outputs = Vec::new();
    let (identity, partitions) = (log.identity(), log.partitions());
    let mut turn = Turn { now_ms, source: record.position, identity, partitions, outputs: &mut outputs };
    turn.bury(record, stage, reason);
    outputs
}
