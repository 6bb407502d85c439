//! SQL over the streams: every topic is a table, over HTTP and over the
//! PostgreSQL wire protocol.
//!
//! A session's catalog is made for one tenant ([`catalog`]): its tables read
//! that tenant's partition and keep that tenant's records ([`table`]), so there
//! is no statement that names another's. Statements that do more than look are
//! refused ([`statement`]); what looks is bounded in time, rows, bytes and
//! memory ([`limits`]), and runs on threads of its own at a lower priority
//! ([`engine`]). Only records that are synced are read. Streams are kept in a
//! lake of files too ([`lake`]); a table is both as one.

pub mod answer;
pub mod catalog;
pub mod columns;
pub mod engine;
pub mod follow;
pub mod functions;
pub mod lake;
pub mod limits;
pub mod statement;
pub mod table;
pub mod views;
pub mod wire;
pub mod yielding;

/// The engine below, for those who use it on their own.
pub use datafusion;

use std::sync::Arc;

use pipeline::ports::Log;
use runtime::{config::Config, sql::Engine, supervisor::Failure};

/// The engine of a hub (see [`runtime::sql::MakeEngine`]).
pub fn engine(config: &Config, log: Arc<dyn Log>) -> Result<Arc<dyn Engine>, Failure> {
    Ok(Arc::new(engine::Analysts::new(config, log)?))
}
