//! How a protocol other than HTTP learns who connects.
//!
//! In: a client's id and secret, or a token in the secret's place. Out: who it
//! is. The SQL port asks through this trait, so that it needs nothing of the API.

use std::pin::Pin;

use super::{Access, Guess, Principal};
use crate::http::problem::Problem;

/// A principal, or why there is none, later.
pub type Authenticated<'a> = Pin<Box<dyn Future<Output = Result<Principal, Problem>> + Send + 'a>>;

/// Authenticates clients, and tells when one that was let in is revoked.
pub trait Authenticate: Send + Sync + 'static {
    /// The wall clock, in ms.
    fn now_ms(&self) -> u64;

    /// Who proves to be who it says, with one of the roles of `access`.
    fn authenticate<'a>(&'a self, access: Access, guess: Guess<'a>) -> Authenticated<'a>;

    /// Whether a principal that was authenticated before may stay connected.
    fn may_stay(&self, who: &Principal) -> bool;
}
