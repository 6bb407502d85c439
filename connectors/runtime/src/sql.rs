//! What the hub asks of an SQL engine. The engine itself is a crate of its own
//! (`analytics`), because it takes longer to build than all the rest; a hub
//! without one says so where it is asked.

use std::{fmt, net::SocketAddr, num::ParseIntError, pin::Pin, str::FromStr, sync::Arc};

use bytes::Bytes;
use pipeline::ports::Log;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    auth::Authenticate,
    config::Config,
    supervisor::{Failure, RoleContext},
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

/// From where a query that is followed goes on after an absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// After the record of this offset.
    After(u64),
    /// Over windows, in the middle of them.
    Windows {
        /// The oldest record that an open window wants.
        first: u64,
        /// The first record that was not read yet.
        next: u64,
        /// The first window that was not told yet.
        start_ms: i64,
    },
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::After(offset) => write!(f, "{offset}"),
            Cursor::Windows { first, next, start_ms } => write!(f, "{first}.{next}.{start_ms}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.splitn(3, '.').collect::<Vec<_>>().as_slice() {
            [first, next, start_ms] => {
                Ok(Cursor::Windows { first: first.parse()?, next: next.parse()?, start_ms: start_ms.parse()? })
            }
            _ => Ok(Cursor::After(text.parse()?)),
        }
    }
}

/// What is told of a query that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A row, and from where to go on after it.
    Row {
        /// See there.
        cursor: Cursor,
        /// The row.
        json: String,
    },
    /// So many rows so far came after a window that they belong to was told.
    Late {
        /// How many, since the listener came.
        rows: u64,
    },
}

/// What comes, as it comes.
pub type Followed = mpsc::Receiver<Result<Told, Refused>>;

/// An SQL engine over a hub's log.
pub trait Engine: Send + Sync + 'static {
    /// Answers one question, whole or not at all.
    fn ask(&self, question: Question) -> Later<'_, Result<Bytes, Refused>>;

    /// Follows one query: its rows of what is written from now on, or after a
    /// cursor, for as long as somebody listens. A query over windows is answered
    /// for each of them when it is over.
    fn follow(&self, question: Question, after: Option<Cursor>) -> Later<'_, Result<Followed, Refused>>;

    /// Takes the address of the PostgreSQL wire protocol.
    fn listen(&self) -> Later<'_, Result<SocketAddr, Failure>>;

    /// Serves that address until told to stop. Whoever connects is let in by
    /// `clients`.
    fn serve(
        self: Arc<Self>,
        clients: Arc<dyn Authenticate>,
        context: RoleContext,
    ) -> Later<'static, Result<(), Failure>>;

    /// Keeps the streams as files until told to stop: the role `lake`.
    fn fill(self: Arc<Self>, context: RoleContext) -> Later<'static, Result<(), Failure>>;

    /// Takes what is a tenant's out of those files: all that was written until
    /// now. Whether that is done already, or waits for the process that has the
    /// role.
    fn forget(&self, tenant: String) -> Later<'_, Result<bool, Failure>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        for cursor in [Cursor::After(17), Cursor::Windows { first: 3, next: 9, start_ms: -60_000 }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for none in ["", "x", "1.2", "1.2.x", "1.2.3.4", "-1"] {
            assert!(none.parse::<Cursor>().is_err(), "{none}");
        }
    }
}
