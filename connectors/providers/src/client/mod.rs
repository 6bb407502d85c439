//! Calls to providers: the one HTTP client of the hub, and the one way of
//! using it.
//!
//! In: a request, whose token it is, until when. Out: an [`Outcome`], which
//! says whose fault it was and whether another attempt can help. Guaranteed:
//! nothing private is reached unless the settings allow it ([`address`]), no
//! redirect is followed, no answer is larger or later than its limit, no
//! provider's limit is knowingly passed ([`budget`]), and nothing secret is in
//! what comes back.

pub mod address;
pub mod budget;
pub mod call;
pub mod client;
pub mod credential;
pub mod outcome;
pub mod rate;

pub use call::{Call, Caller, Ledger, Policies, Stopped, WhileDown};
pub use client::{Http, Limits, Request};
pub use credential::Credential;
pub use outcome::{Answer, Fault, Outcome, Provider, Trouble};
