//! Calls to providers: the one HTTP client of the hub, and the one way of
//! using it.
//!
//! In: a request, whose token it is, until when. Out: an answer, or a
//! [`ProviderError`], which says what the caller can do. Guaranteed: nothing
//! private is reached unless the settings allow it ([`address`]), no redirect is
//! followed, no answer is larger or later than its limit, no provider's limit is
//! knowingly passed ([`budget`]), nothing leaves while the kill switch is set, and
//! nothing secret is in what comes back.

pub mod address;
pub mod budget;
pub mod call;
pub mod credential;
pub mod error;
pub mod http;
pub mod judge;
pub mod provider_client;
pub mod rate;

pub use call::{Call, Caller, Ledger, Policies, WhileDown};
pub use credential::Credential;
pub use error::{Cause, NotSent, ProviderError, Rejection};
pub use http::{Http, Limits, Request};
pub use judge::Answer;
pub use provider_client::{
    CallObserver, Deadline, GuardedCaller, Manner, NotCounted, ProviderClient, json_of, rows_at, word_at,
};
