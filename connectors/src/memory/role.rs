//! The role: takes its partitions and gives each a session on a thread of its
//! own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use pipeline::{
    ports::{Log, LogError, Session},
    retry::Policy,
    topics::Topic,
};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, core::Collector};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};

use super::{recall::Recall, session};
use crate::supervisor::{Failure, Post};

/// The consumer group of all memories.
pub const GROUP: &str = "nexus-memory";

/// What is counted.
pub struct Counts {
    /// Requests that were done, by kind; `dead` are those that never will be.
    pub done: IntCounterVec,
    /// From the request's record to where it can be found.
    pub delay: Histogram,
    /// Times that something was down, or failed.
    pub waits: IntCounter,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let delay = HistogramOpts::new("nexus_memory_delay_seconds", "From a request to where its text can be found.");
        Ok(Counts {
            done: IntCounterVec::new(Opts::new("nexus_memory_requests_total", "Requests that were done."), &["what"])?,
            delay: Histogram::with_opts(delay.buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0]))?,
            waits: IntCounter::new("nexus_memory_waits_total", "Times that the memory waited for something down.")?,
        })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.done.clone()), Box::new(self.delay.clone()), Box::new(self.waits.clone())]
    }
}

/// What the sessions work with.
pub struct Bench {
    /// The memory.
    pub recall: Arc<Recall>,
    /// How often and how patiently.
    pub policy: Policy,
    /// What is counted.
    pub counts: Counts,
}

/// What the role needs.
#[derive(Clone)]
pub struct Memory {
    /// Where requests come from and results go.
    pub log: Arc<dyn Log>,
    /// What they are done with.
    pub bench: Arc<Bench>,
}

impl Memory {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, mut post: Post) -> Result<(), Failure> {
        if let Some(notice) = self.bench.recall.embedder.notice() {
            tracing::info!("{notice}");
        }
        let mut membership = self.log.join(GROUP, &[Topic::MemoryRequests]).await?;
        let stopping = Stopping(Arc::new(AtomicBool::new(false)));
        let mut sessions = JoinSet::new();
        post.running();
        let failed = loop {
            tokio::select! {
                session = membership.next() => match session {
                    Ok(session) => {
                        sessions.spawn(self.start(session, Arc::clone(&stopping.0)));
                    }
                    Err(error) => break Some(error),
                },
                Some(ended) = sessions.join_next() => match ended {
                    Ok(Ok(Ok(()) | Err(LogError::Fenced { .. }))) => {}
                    Ok(Ok(Err(error))) => break Some(error),
                    _ => break Some(LogError::Unavailable { detail: "a session of the memory died".to_owned() }),
                },
                _ = post.stop.wait_for(|stop| *stop) => break None,
            }
        };
        stopping.0.store(true, Relaxed);
        while sessions.join_next().await.is_some() {}
        drop(membership);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A thread of its own for a session, which may block it; the work is done
    /// here.
    fn start(
        &self,
        mut session: Box<dyn Session>,
        stopping: Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<(), LogError>> {
        let (tell, ended) = oneshot::channel();
        let (bench, log, work) = (Arc::clone(&self.bench), Arc::clone(&self.log), Handle::current());
        let name = format!("memory-{}", session.partition());
        let run = move || {
            let stop = || stopping.load(Relaxed);
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(session::drive(&mut *session, &*log, &bench, &work, &stop)),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for the memory: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(run) {
            tracing::error!(%error, "no thread for the memory");
        }
        ended
    }
}

/// Tells the sessions to stop, also when nobody waits for them any more.
struct Stopping(Arc<AtomicBool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
