//! Queries that are followed: their rows as they are written ([`rows`]), or over
//! windows of event time the answer to each when it is over ([`windows`]).

pub mod closing;
pub mod rows;
pub mod windows;
