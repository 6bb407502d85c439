//! One member of a consumer group, and its sessions: each on a thread of its
//! own, which it may block, with timers of its own, so that it needs nothing of
//! the runtime that serves requests, in speed as in life.
//!
//! In: partitions, as the group gives them. Out: what each session's work does.
//! Guaranteed: a session that is fenced ends alone; one that fails ends all of
//! them, and the role; and before the membership is given back every session
//! has ended, so that nobody works on a partition that is somebody else's.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use pipeline::{
    ports::{Log, LogError, Membership, Session},
    topics::Topic,
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

/// The consumer group of the pipeline's workers; its position is what health tells.
pub const PIPELINE_GROUP: &str = "nexus-pipeline";

/// Whether a session is to end.
pub type Stop = dyn Fn() -> bool + Sync;

/// The partitions that are worked on here.
#[derive(Clone, Default)]
pub struct Owned(Arc<Mutex<BTreeSet<u32>>>);

impl Owned {
    /// Which.
    pub fn all(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn begin(&self, partition: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition);
    }

    fn end(&self, partition: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }
}

/// A member of a group.
pub struct Sessions {
    name: &'static str,
    membership: Box<dyn Membership>,
    owned: Owned,
    stopping: StopOnDrop,
}

impl Sessions {
    /// Joins a group. The threads are called after the role.
    pub async fn join(
        log: &dyn Log,
        group: &'static str,
        topics: &[Topic],
        name: &'static str,
    ) -> Result<Sessions, LogError> {
        let membership = log.join(group, topics).await?;
        let stopping = StopOnDrop(Arc::new(AtomicBool::new(false)));
        Ok(Sessions { name, membership, owned: Owned::default(), stopping })
    }

    /// The partitions that are worked on here, for whoever else needs to know.
    pub fn owned(&self) -> Owned {
        self.owned.clone()
    }

    /// Has every session do its work until told to stop, or until one fails.
    pub async fn run<W>(mut self, mut stop: watch::Receiver<bool>, work: W) -> Result<(), LogError>
    where
        W: AsyncFn(&mut dyn Session, &Stop) -> Result<(), LogError> + Clone + Send + 'static,
    {
        let mut running = JoinSet::new();
        let failed = loop {
            tokio::select! {
                session = self.membership.next() => match session {
                    Ok(session) => {
                        let partition = session.partition();
                        self.owned.begin(partition);
                        let ended = self.start(session, work.clone());
                        running.spawn(async move { (partition, ended.await) });
                    }
                    Err(error) => break Some(error),
                },
                Some(Ok((partition, ended))) = running.join_next() => {
                    self.owned.end(partition);
                    match ended {
                        Ok(Ok(())) => {}
                        Ok(Err(LogError::Fenced { .. })) => {
                            tracing::info!(role = self.name, partition, "another member has the partition now");
                        }
                        Ok(Err(error)) => break Some(error),
                        Err(_) => {
                            let detail = format!("the session of {} for partition {partition} died", self.name);
                            break Some(LogError::Unavailable { detail });
                        }
                    }
                },
                _ = stop.wait_for(|stop| *stop) => break None,
            }
        };
        self.stopping.0.store(true, Relaxed);
        // What is in hand is finished and made durable; sessions that ended
        // give their partitions back before the membership does.
        while running.join_next().await.is_some() {}
        failed.map_or(Ok(()), Err)
    }

    fn start<W>(&self, mut session: Box<dyn Session>, work: W) -> oneshot::Receiver<Result<(), LogError>>
    where
        W: AsyncFn(&mut dyn Session, &Stop) -> Result<(), LogError> + Send + 'static,
    {
        let (tell, ended) = oneshot::channel();
        let (role, stopping) = (self.name, Arc::clone(&self.stopping.0));
        let name = format!("{role}-{}", session.partition());
        let body = move || {
            let stop = move || stopping.load(Relaxed);
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(work(&mut *session, &stop)),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for {role}: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(body) {
            tracing::error!(%error, role, "no thread for a session");
        }
        ended
    }
}

/// Tells the sessions to stop, also when nobody waits for them any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
