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
//! connection's [`Links`](providers::credentials::Links), not twice at the same time ([`flights`]), and with
//! [`providers::client`].

mod desk;
mod flights;
pub(crate) mod session;

use std::{sync::Arc, time::Duration};

use pipeline::{
    ports::{Log, Session},
    topics::Topic,
};
use tokio::runtime::Handle;

use runtime::{
    directory::Directory,
    sessions::{Sessions, Stop},
    supervisor::{Failure, RoleContext},
};

pub use desk::Desk;

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
    pub async fn run(self, mut context: RoleContext) -> Result<(), Failure> {
        // Before its connections are known, every request would be refused.
        tokio::select! {
            () = self.directory.until_known() => {}
            () = context.told_to_stop() => return Ok(()),
        }
        let sessions = Sessions::join(&*self.log, GROUP, &[Topic::LookupsRequests], "lookups").await?;
        // The calls are made here, where the other waiting is done.
        let (lookups, calls) = (self.clone(), Handle::current());
        let work = async move |session: &mut dyn Session, stop: &Stop| {
            session::drive(session, &*lookups.log, &lookups.desk, &calls, stop).await
        };
        context.running();
        Ok(sessions.run(context.stop.clone(), work).await?)
    }
}
