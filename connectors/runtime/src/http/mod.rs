//! What every HTTP surface of the hub shares: the server, bodies, errors.

pub mod body;
pub mod problem;
pub mod server;
pub mod sse;
