//! The role `lookups`: fetches at the providers what a webhook lacks.
//!
//! In: `lookups.requests`, as the consumer group [`GROUP`]. Out: one result for
//! each request on `lookups.results`, in no particular order, by the request's
//! deadline. Guaranteed: the group moves on only past requests whose results
//! are committed with it, so that after a crash a request may be answered
//! twice, but never not at all. A slow provider holds up its own tenants'
//! requests until their deadlines, and nobody else's.
//!
//! [`runtime::consumer`] reads and commits, a [`Desk`] answers one request: by the
//! connection's [`Links`](providers::credentials::Links), not twice at the same time ([`flights`]), and with
//! [`providers::client`].

mod desk;
mod flights;
mod request;

use std::sync::Arc;

use pipeline::ports::Log;
use runtime::{
    consumer,
    directory::Directory,
    supervisor::{Failure, RoleContext},
};

pub use desk::Desk;

/// The consumer group of all lookups.
pub const GROUP: &str = "nexus-lookups";

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
        consumer::run(Arc::clone(&self.log), self, context).await
    }
}
