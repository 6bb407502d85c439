//! The history of the schema, one for both engines.
//!
//! A migration is a file of `sql/migrations` and a line here; one that cannot be
//! written once has a `.postgres.sql` beside it. What was released is never
//! changed: the database remembers a checksum of each and refuses another.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{database::Database, error::StoreError};

/// A migration: its number, its name, for SQLite, for PostgreSQL.
type Step = (i64, &'static str, &'static str, &'static str);

macro_rules! migration {
    ($name:literal) => {
        include_str!(concat!("../../../sql/migrations/", $name, ".sql"))
    };
}

/// THE list.
const STEPS: &[Step] = &[
    (1, "directory", migration!("0001_directory"), migration!("0001_directory")),
    (2, "outbox", migration!("0002_outbox"), migration!("0002_outbox.postgres")),
    (3, "projections", migration!("0003_projections"), migration!("0003_projections")),
    (4, "upkeep", migration!("0004_upkeep"), migration!("0004_upkeep")),
    (5, "limits", migration!("0005_limits"), migration!("0005_limits")),
    (6, "box", migration!("0006_box"), migration!("0006_box")),
    (7, "memory", migration!("0007_memory"), migration!("0007_memory")),
];

/// Brings a database up to date; several processes may try at once.
pub async fn run(database: &Database) -> Result<(), StoreError> {
    let sqlite = database.is_sqlite();
    let migrations = STEPS.iter().map(|&(version, name, portable, postgres)| {
        let sql = if sqlite { portable } else { postgres };
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    let done = match database {
        Database::Sqlite { writer, .. } => migrator.run(writer).await,
        Database::Postgres(pool) => migrator.run(pool).await,
    };
    done.map_err(|error| StoreError::Unavailable {
        detail: format!("the schema cannot be brought up to date: {error}"),
    })
}

/// The number of the newest migration.
pub fn newest() -> i64 {
    STEPS.last().map_or(0, |(version, ..)| *version)
}
