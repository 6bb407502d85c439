//! One way to run a statement on either engine.
//!
//! Statements are written once, with `$1`; values go in as [`Value`]s, rows come
//! out as [`Line`]s, read in the order of their columns. SQLite has one writer
//! and a few readers, as the engine itself does; PostgreSQL has one pool.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    PgPool, Postgres, Row, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::error::StoreError;

/// More of a text is not put into an index, or PostgreSQL would refuse the row.
/// No provider's ids come near it.
pub(crate) const INDEXED_CHARS_MAX: usize = 500;

/// How long a statement waits for a connection or a lock. Longer than any of our
/// transactions, shorter than the patience of whoever asked.
const WAIT: Duration = Duration::from_secs(5);
/// SQLite's readers: its queries take microseconds.
const READERS_MAX: u32 = 4;

/// A value of a statement.
#[derive(Clone)]
pub enum Value {
    /// Text, or nothing.
    Text(Option<String>),
    /// A number, or nothing.
    Number(Option<i64>),
    /// Yes or no.
    Truth(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::from(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        // PostgreSQL's texts hold everything but this, and both engines shall
        // hold the same.
        Value::Text(Some(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Value::Text(None), Value::from)
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Value::from(text.clone())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Truth(truth)
    }
}

/// A row that came out of a query.
pub enum Line {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

macro_rules! column {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, column: usize) -> Result<$type, StoreError> {
            Ok(match self {
                Line::Sqlite(row) => row.try_get(column)?,
                Line::Postgres(row) => row.try_get(column)?,
            })
        })*
    };
}

impl Line {
    column! {
        /// Text that is always there.
        text: String;
        /// Text that may be missing.
        some_text: Option<String>;
        /// A number that is always there.
        number: i64;
        /// A number that may be missing.
        some_number: Option<i64>;
        /// Yes or no.
        truth: bool;
    }
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {
        $values.iter().fold(sqlx::query($sql), |query, value| match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(*number),
            Value::Truth(truth) => query.bind(*truth),
        })
    };
}

/// A database.
#[derive(Clone)]
pub enum Database {
    /// Embedded.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Those that read.
        readers: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

impl Database {
    /// The embedded one in a file, which is made where there is none.
    pub async fn sqlite(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered must survive a power cut, as in the log.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT)
            .foreign_keys(true);
        let pool = |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(WAIT);
        Ok(Database::Sqlite {
            writer: pool(1).connect_with(options.clone()).await?,
            readers: pool(READERS_MAX).connect_with(options.create_if_missing(false)).await?,
        })
    }

    /// The server of an address.
    pub async fn postgres(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        // The error would repeat the address, and with it a password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Unavailable { detail: "DATABASE_URL is no address of PostgreSQL".to_owned() })?;
        let options = options.application_name("nexus");
        let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(WAIT);
        Ok(Database::Postgres(pool.connect_with(options).await?))
    }

    /// The rows of a query, as of what is committed.
    pub async fn rows(&self, sql: &'static str, values: &[Value]) -> Result<Vec<Line>, StoreError> {
        Ok(match self {
            Database::Sqlite { readers, .. } => {
                bound!(sql, values).fetch_all(readers).await?.into_iter().map(Line::Sqlite).collect()
            }
            Database::Postgres(pool) => {
                bound!(sql, values).fetch_all(pool).await?.into_iter().map(Line::Postgres).collect()
            }
        })
    }

    /// Begins to write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            // At once for writing: a reader that turns writer may be refused.
            Database::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Database::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Whether it is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Database::Sqlite { .. })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Database::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Database::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction; dropped without a commit, it never was.
pub enum Tx {
    /// Of SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// Of PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// The rows of a query, as this transaction sees them.
    pub async fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Line>, StoreError> {
        Ok(match self {
            Tx::Sqlite(tx) => bound!(sql, values).fetch_all(&mut **tx).await?.into_iter().map(Line::Sqlite).collect(),
            Tx::Postgres(tx) => {
                bound!(sql, values).fetch_all(&mut **tx).await?.into_iter().map(Line::Postgres).collect()
            }
        })
    }

    /// Runs a statement; tells how many rows it changed. The error is the
    /// database's own: it says which rule was broken.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Tx::Sqlite(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
            Tx::Postgres(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Waits until no other transaction holds the lock of this name, and holds
    /// it to its end. SQLite's writers wait for each other anyway.
    pub async fn lock(&mut self, name: &str) -> Result<(), StoreError> {
        if let Tx::Postgres(_) = self {
            self.execute(super::sql!("lock_take.postgres"), &[name.into()]).await?;
        }
        Ok(())
    }

    /// Makes all of it so.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await?,
            Tx::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
