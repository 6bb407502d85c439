//! What can go wrong in the store, by what the caller can do about it.

/// Why a statement was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant has no such row.
    #[error("there is no such {kind}")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
    },
    /// Another row has that already.
    #[error("another {kind} has this {field}")]
    Conflict {
        /// Of which kind both are.
        kind: &'static str,
        /// The field that must differ, as JSON names it.
        field: &'static str,
    },
    /// The row refers to one that is not there.
    #[error("{field} of the {kind} names what is not there")]
    Dangling {
        /// The kind of the row that was to be written.
        kind: &'static str,
        /// The field that refers, as JSON names it.
        field: &'static str,
    },
    /// A cursor or another argument is not one that this store gave out.
    #[error("{0}")]
    Bad(&'static str),
    /// The database cannot be reached or is not what it should be; it may come
    /// back.
    #[error("the store is unavailable: {detail}")]
    Unavailable {
        /// What failed. Never holds a value of a row.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn can_retry(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }

    /// What the database holds is not what we wrote.
    pub(super) fn unreadable(error: impl std::fmt::Display) -> Self {
        StoreError::Unavailable { detail: format!("a row is not understood: {error}") }
    }
}

/// Which rule of the schema a statement broke.
pub(super) enum Broken {
    /// Something is there twice; with the engine's own words for what.
    Unique(String),
    /// What is referred to is not there.
    Reference,
}

/// The rule that was broken, if it was one.
pub(super) fn broken(error: &sqlx::Error) -> Option<Broken> {
    let error = error.as_database_error()?;
    if error.is_foreign_key_violation() {
        return Some(Broken::Reference);
    }
    // PostgreSQL names the index, SQLite lists `table.column`.
    let words = error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned);
    error.is_unique_violation().then_some(Broken::Unique(words))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let detail = match &error {
            // PostgreSQL's detail lines quote values; the message does not.
            sqlx::Error::Database(error) => error.message().to_owned(),
            other => other.to_string(),
        };
        StoreError::Unavailable { detail }
    }
}
