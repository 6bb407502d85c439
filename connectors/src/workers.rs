//! The role `pipeline`: a thread for every partition that this member of the
//! consumer group is given, and one clock for all of them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use pipeline::{
    event::{Command, Time},
    flow::{INPUTS, Settings},
    ports::{Clock, Headers, Log, LogError, NewRecord, Session},
    topics::{CLOCK, Topic},
    worker::{Progress, drive},
};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::supervisor::{Failure, Post};

/// The consumer group of all workers.
pub const GROUP: &str = "nexus-pipeline";

/// How often time is written into every partition.
const TICK: Duration = Duration::from_secs(1);

/// Tells the workers to stop, also when nobody waits for them any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What the workers need.
#[derive(Clone)]
pub struct Workers {
    /// The log they work on.
    pub log: Arc<dyn Log>,
    /// The wall clock, for ticks.
    pub clock: Arc<dyn Clock>,
    /// What the operators are set to.
    pub settings: Settings,
    /// What they have done so far, all together.
    pub progress: Arc<Progress>,
}

impl Workers {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, mut post: Post) -> Result<(), Failure> {
        let mut membership = self.log.join(GROUP, INPUTS).await?;
        let owned = Arc::new(Mutex::new(BTreeSet::new()));
        let stopping = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let mut workers = JoinSet::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        post.running();
        let failed = loop {
            tokio::select! {
                session = membership.next() => match session {
                    Ok(session) => {
                        let partition = session.partition();
                        owned.lock().unwrap_or_else(PoisonError::into_inner).insert(partition);
                        let worker = self.start(session, Arc::clone(&stopping.0));
                        workers.spawn(async move { (partition, worker.await) });
                    }
                    Err(error) => break Some(error),
                },
                Some(Ok((partition, ended))) = workers.join_next() => {
                    owned.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
                    match ended {
                        Ok(Err(LogError::Fenced { .. })) => tracing::info!(partition, "another member has the partition now"),
                        Ok(Err(error)) => break Some(error),
                        Ok(Ok(())) => {}
                        Err(_) => break Some(LogError::Unavailable { detail: format!("the worker of partition {partition} died") }),
                    }
                },
                _ = ticks.tick() => self.tick(&owned),
                _ = post.stop.wait_for(|stop| *stop) => break None,
            }
        };
        stopping.0.store(true, Relaxed);
        // What is in hand is finished and made durable; sessions that ended
        // give their partitions back before the membership does.
        while workers.join_next().await.is_some() {}
        drop(membership);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A thread of its own for a session, which may block it.
    fn start(
        &self,
        mut session: Box<dyn Session>,
        stopping: Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<(), LogError>> {
        let (tell, ended) = oneshot::channel();
        let workers = self.clone();
        let name = format!("worker-{}", session.partition());
        let work = move || {
            // With timers of its own, so that it needs nothing of the runtime
            // that serves requests, in speed as in life.
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(drive(
                    &mut *session,
                    workers.log.identity(),
                    workers.log.partitions(),
                    &workers.settings,
                    &workers.progress,
                    &|| stopping.load(Relaxed),
                )),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for a worker: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread for a worker");
        }
        ended
    }

    /// Writes the time into every partition that is worked on here. Nobody
    /// waits for it: if the log is busy, records bring the time along anyway.
    fn tick(&self, owned: &Mutex<BTreeSet<u32>>) {
        let now_ms = self.clock.now_ms();
        let command = Command::Tick { at: Time::from_ms(now_ms) };
        let Ok(value) = serde_json::to_vec(&command) else { return };
        let value = Bytes::from(value);
        let headers = Headers::new([("type", b"tick".as_slice()), ("schema", b"nexus.command.v1".as_slice())]);
        let record = |partition: &u32| NewRecord {
            topic: Topic::Commands,
            partition: *partition,
            at_ms: now_ms,
            key: Bytes::from_static(CLOCK.as_bytes()),
            value: Some(value.clone()),
            headers: headers.clone(),
        };
        let records: Vec<_> = owned.lock().unwrap_or_else(PoisonError::into_inner).iter().map(record).collect();
        if !records.is_empty() {
            drop(tokio::spawn(self.log.append(records)));
        }
    }
}
