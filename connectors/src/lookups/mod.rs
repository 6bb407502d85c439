//! The role `lookups`: fetches at the providers what a webhook lacks.
//!
//! In: `lookups.requests`, as the consumer group [`GROUP`]. Out: one result for
//! each request on `lookups.results`, in no particular order, by the request's
//! deadline. Guaranteed: the group moves on only past requests whose results
//! are committed with it, so that after a crash a request may be answered
//! twice, but never not at all. A slow provider holds up its own tenants'
//! requests until their deadlines, and nobody else's.
//!
//! A [`session`] reads and commits, a [`Desk`] answers one request: by the
//! connection's [`Links`], not twice at the same time ([`flights`]), and with
//! [`crate::outgoing`].

mod clickup;
mod desk;
mod flights;
mod links;
pub(crate) mod open;
mod session;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use pipeline::{
    ports::{Log, LogError, Session},
    topics::Topic,
};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};

use crate::{
    directory::Directory,
    supervisor::{Failure, Post},
};

pub use desk::Desk;
pub use links::{Link, Links};

/// The consumer group of all lookups.
pub const GROUP: &str = "nexus-lookups";

/// How long lookups in progress may go on after a stop. What they would have
/// found is asked for again at the next start.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// What the role needs.
#[derive(Clone)]
pub struct Lookups {
    /// Where requests come from and results go.
    pub log: Arc<dyn Log>,
    /// The tenants' connections.
    pub directory: Arc<Directory>,
    /// Who answers.
    pub desk: Arc<Desk>,
}

impl Lookups {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, mut post: Post) -> Result<(), Failure> {
        // Before its connections are known, every request would be refused.
        let mut changes = self.directory.changes();
        while !self.directory.is_known() {
            tokio::select! {
                changed = changes.changed() => changed?,
                _ = post.stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
        let mut membership = self.log.join(GROUP, &[Topic::LookupsRequests]).await?;
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
                    _ => break Some(LogError::Unavailable { detail: "a session of the lookups died".to_owned() }),
                },
                _ = post.stop.wait_for(|stop| *stop) => break None,
            }
        };
        stopping.0.store(true, Relaxed);
        while sessions.join_next().await.is_some() {}
        drop(membership);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A thread of its own for a session, which may block it; the calls are made
    /// here, where the other waiting is done.
    fn start(
        &self,
        mut session: Box<dyn Session>,
        stopping: Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<(), LogError>> {
        let (tell, ended) = oneshot::channel();
        let (desk, log, calls) = (Arc::clone(&self.desk), Arc::clone(&self.log), Handle::current());
        let name = format!("lookups-{}", session.partition());
        let work = move || {
            let stop = || stopping.load(Relaxed);
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(session::drive(&mut *session, &*log, &desk, &calls, &stop)),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for the lookups: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread for the lookups");
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
