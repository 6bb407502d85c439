//! What the hub asks of an SQL engine. The engine itself is a crate of its own
//! (`analytics`), because it takes longer to build than all the rest; a hub
//! without one says so where it is asked.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use pipeline::ports::Log;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    api::Desk,
    config::Config,
    supervisor::{Failure, Post},
};

/// An answer that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes the engine of a hub.
pub type MakeEngine = fn(&Config, Arc<dyn Log>) -> Result<Arc<dyn Engine>, Failure>;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `{"data": [{column: value}]}`.
    #[default]
    Json,
    /// With a line of names.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    /// Its content type.
    pub fn media(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// A question of somebody who was let in.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whose rows there are. The only ones, whatever the text says.
    pub tenant: String,
    /// One statement.
    pub text: String,
    /// How the answer is to be written.
    pub format: Format,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No SQL, or it names what is not there.
    #[error("{0}")]
    Invalid(String),
    /// SQL that would do more than look.
    #[error("{0}")]
    Forbidden(String),
    /// More rows than an answer may have.
    #[error("the answer has more than {rows_max} rows; add a LIMIT, or ask for less")]
    Rows {
        /// The limit.
        rows_max: usize,
    },
    /// More bytes than an answer may have.
    #[error("the answer has more than {mb_max} MB; ask for fewer rows or columns")]
    Bytes {
        /// The limit.
        mb_max: usize,
    },
    /// It took too long.
    #[error("the query took longer than {timeout_ms} ms; ask for less, or for less time")]
    Slow {
        /// The limit.
        timeout_ms: u64,
    },
    /// It needed too much memory.
    #[error("the query needs more than {mb_max} MB of memory; ask for less, or group by less")]
    Memory {
        /// The limit.
        mb_max: usize,
    },
    /// Too many ask at the same time.
    #[error("too many queries at the same time; try again")]
    Busy,
    /// Not the question's fault.
    #[error("{0}")]
    Failed(String),
}

/// Rows as JSON as they come, each with the cursor from which to go on after it.
pub type Followed = mpsc::Receiver<Result<(u64, String), Refused>>;

/// An SQL engine over a hub's log.
pub trait Engine: Send + Sync + 'static {
    /// Answers one question, whole or not at all.
    fn ask(&self, question: Question) -> Later<'_, Result<Bytes, Refused>>;

    /// Follows one query: its rows of what is written from now on, or after a
    /// cursor, for as long as somebody listens.
    fn follow(&self, question: Question, after: Option<u64>) -> Later<'_, Result<Followed, Refused>>;

    /// Takes the address of the PostgreSQL wire protocol.
    fn listen(&self) -> Later<'_, Result<SocketAddr, Failure>>;

    /// Serves that address until told to stop. Whoever connects is let in by
    /// the desk.
    fn serve(self: Arc<Self>, desk: Arc<Desk>, post: Post) -> Later<'static, Result<(), Failure>>;

    /// Keeps the streams as files until told to stop: the role `lake`.
    fn fill(self: Arc<Self>, post: Post) -> Later<'static, Result<(), Failure>>;
}
