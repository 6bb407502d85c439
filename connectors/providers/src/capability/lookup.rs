//! To fetch what a webhook lacks.

use bytes::Bytes;
use pipeline::event::LookupResult;

use crate::client::{ProviderClient, Request};

/// Fetches one thing by its id.
pub trait Lookup: Send + Sync {
    /// What is asked for a thing of this kind; `None` when there is no such
    /// thing to ask.
    fn request(&self, client: &ProviderClient, kind: &str, id: &str) -> Option<Request>;

    /// Reads an answer; `None` when it is not what was asked for.
    fn read(&self, kind: &str, body: &Bytes) -> Option<LookupResult>;
}
