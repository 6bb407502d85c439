//! The providers: one client for all calls to them, whose credentials they are
//! made with, and samples of what they send.
//!
//! In: a request of a connector. Out: an outcome that says whose fault it is.
//! Guaranteed: no call leaves for an address that is not allowed, beyond a budget,
//! or while the kill switch is set.

pub mod client;
pub mod credentials;
pub mod samples;
