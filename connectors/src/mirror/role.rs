//! The role: takes its partitions, gives each a session on a thread of its own,
//! and one scheduler to all of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use pipeline::{
    ports::{Log, LogError, Session},
    topics::Topic,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    scheduler::{Bench, Order, Scheduler},
    session,
};
use crate::supervisor::{Failure, Post};

/// The consumer group of all mirrors.
pub const GROUP: &str = "nexus-mirror";

/// What the role needs.
#[derive(Clone)]
pub struct Mirror {
    /// Where commands come from and results go.
    pub log: Arc<dyn Log>,
    /// What they are done with.
    pub bench: Arc<Bench>,
}

impl Mirror {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, mut post: Post) -> Result<(), Failure> {
        // Before its connections are known, every command would be refused.
        let mut changes = self.bench.directory.changes();
        while !self.bench.directory.is_known() {
            tokio::select! {
                changed = changes.changed() => changed?,
                _ = post.stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
        let mut membership = self.log.join(GROUP, &[Topic::MirrorCommands]).await?;
        let stopping = Stopping(Arc::new(AtomicBool::new(false)));
        let (orders, ordered) = mpsc::unbounded_channel();
        let mut scheduling = JoinSet::new();
        scheduling.spawn(Scheduler::new(Arc::clone(&self.bench)).run(ordered));
        let mut sessions = JoinSet::new();
        post.running();
        let died = |what: &str| LogError::Unavailable { detail: format!("{what} of the mirror died") };
        let failed = loop {
            tokio::select! {
                session = membership.next() => match session {
                    Ok(session) => {
                        sessions.spawn(self.start(session, orders.clone(), Arc::clone(&stopping.0)));
                    }
                    Err(error) => break Some(error),
                },
                Some(ended) = sessions.join_next() => match ended {
                    Ok(Ok(Ok(()) | Err(LogError::Fenced { .. }))) => {}
                    Ok(Ok(Err(error))) => break Some(error),
                    _ => break Some(died("a session")),
                },
                Some(_) = scheduling.join_next() => break Some(died("the scheduler")),
                _ = post.stop.wait_for(|stop| *stop) => break None,
            }
        };
        stopping.0.store(true, Relaxed);
        let _ = orders.send(Order::Stop);
        while sessions.join_next().await.is_some() {}
        drop(membership);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A thread of its own for a session, which may block it; the calls are made
    /// where the scheduler is.
    fn start(
        &self,
        mut session: Box<dyn Session>,
        orders: mpsc::UnboundedSender<Order>,
        stopping: Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<(), LogError>> {
        let (tell, ended) = oneshot::channel();
        let (bench, log) = (Arc::clone(&self.bench), Arc::clone(&self.log));
        let name = format!("mirror-{}", session.partition());
        let work = move || {
            let stop = || stopping.load(Relaxed);
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(session::drive(&mut *session, &*log, &bench, &orders, &stop)),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for the mirror: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread for the mirror");
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
