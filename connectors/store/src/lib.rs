//! The store: relational rows in SQLite (the default, embedded) or PostgreSQL.
//!
//! In: what administrators write, and what the pipeline keeps of its tenants
//! ([`project`]). Out: lists and lookups for the API; every change of the
//! directory on `control` ([`announce`]). Guaranteed: every statement is scoped
//! by a tenant; a row and the announcement of it are one transaction; the same
//! repositories, statements and tests for both engines.

mod agents;
mod aliases;
pub mod announce;
pub mod audit;
pub mod batch_writer;
mod candidates;
mod clients;
mod connections;
pub(crate) mod database;
mod error;
mod mappings;
mod migrations;
mod notices;
mod outbox;
pub mod project;
mod projects;
mod repository;
mod rows;
mod tasks;
mod tenants;
mod texts;
mod unrouted;
mod upkeep;
mod users;
mod vectors;
mod work;
mod workgroups;

use std::sync::Arc;

use pipeline::{
    event::{Agent, Alias, Client, Connection, Project, Tenant, Time, User, UserMapping, Workgroup},
    ports::Clock,
};
use tokio::sync::Notify;

use self::database::{Database, Tx};
use runtime::{clock::SystemClock, config::Config};

pub use candidates::Candidates;
pub use clients::Credentials;
pub use error::StoreError;
pub use notices::Notices;
pub use repository::Rows;
pub use rows::{Entry, PAGE_ROWS, PAGE_ROWS_MAX, Page, Paging, Stored};
pub use tasks::{TaskFilter, Tasks};
pub use texts::{Kept, Place, Texts, Thread};
pub use unrouted::Unrouted;
pub use upkeep::{Note, Upkeep};
pub use vectors::{Changed, Chunk, Passage, VectorRows};
pub use work::{Asked, Work, asked};

/// The file of the embedded database in a data directory.
pub const FILE: &str = "nexus.db";

/// A statement of `sql/queries`.
macro_rules! sql {
    ($($name:literal),+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sql/queries/", $($name,)+ ".sql"))
    };
}
use sql;

/// The store.
pub struct Store {
    database: Database,
    clock: Arc<dyn Clock>,
    /// Told of every commit, for the announcer of this process.
    written: Notify,
    /// Told by the projector of what rows may follow from.
    noticed: Notify,
}

impl Store {
    /// The store of a configuration, brought up to date.
    pub async fn open(config: &Config) -> Result<Store, StoreError> {
        if config.store.migrate_at_start || config.store.url.is_empty() {
            Store::migrate(config).await?;
        }
        Store::connect(config, &config.store.url).await
    }

    /// Brings the schema up to date, by the direct address if there is one;
    /// tells the number of its newest migration.
    pub async fn migrate(config: &Config) -> Result<i64, StoreError> {
        let direct = &config.store.direct_url;
        let url = if direct.is_empty() { &config.store.url } else { direct };
        let store = Store::connect(config, url).await?;
        let done = migrations::run(&store.database).await;
        store.close().await;
        done.map(|()| migrations::newest())
    }

    async fn connect(config: &Config, url: &str) -> Result<Store, StoreError> {
        let database = match url {
            "" => {
                std::fs::create_dir_all(&config.data_dir).map_err(|error| StoreError::Unavailable {
                    detail: format!("cannot make {}: {error}", config.data_dir.display()),
                })?;
                Database::sqlite(&config.data_dir.join(FILE)).await?
            }
            url => Database::postgres(url, config.store.connections_max).await?,
        };
        Ok(Store { database, clock: Arc::new(SystemClock), written: Notify::new(), noticed: Notify::new() })
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.rows(sql!("store_ping"), &[]).await.map(drop)
    }

    /// How many connections, of all tenants, have a secret that requests are
    /// verified with.
    pub async fn verifiable_connections(&self) -> Result<i64, StoreError> {
        let lines = self.database.rows(sql!("connections_verifiable"), &[]).await?;
        lines.first().map_or(Ok(0), |line| line.number(0))
    }

    /// Whether there is a store of this configuration, as far as that can be told
    /// without making one.
    pub fn exists(config: &Config) -> bool {
        !config.store.url.is_empty() || config.data_dir.join(FILE).exists()
    }

    /// Begins to write, for who writes no rows of the directory.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.database.begin().await
    }

    /// There is something in the outbox.
    pub(crate) fn announce_soon(&self) {
        self.written.notify_one();
    }

    /// The time that rows are given.
    pub(crate) fn now(&self) -> Time {
        Time::from_ms(self.clock.now_ms())
    }

    /// Closes its connections.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

macro_rules! repositories {
    ($($(#[$doc:meta])* $name:ident: $row:ident;)*) => {
        /// The repositories of the directory.
        impl Store {
            /// The rows of a kind.
            pub fn rows<R: Stored>(&self) -> Rows<'_, R> {
                Rows::new(self)
            }

            $($(#[$doc])*
            pub fn $name(&self) -> Rows<'_, $row> {
                Rows::new(self)
            })*
        }
    };
}

repositories! {
    /// The companies.
    tenants: Tenant;
    /// Their squads.
    workgroups: Workgroup;
    /// Their agents.
    agents: Agent;
    /// Names for lists of agents.
    aliases: Alias;
    /// Lists, repositories and project keys with their channels.
    projects: Project;
    /// People.
    users: User;
    /// Who is who in other systems.
    mappings: UserMapping;
    /// Links to providers.
    connections: Connection;
    /// Who gets tokens.
    clients: Client;
}

/// The repositories of what the pipeline keeps.
impl Store {
    /// Work items.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks(self)
    }

    /// What is remembered.
    pub fn texts(&self) -> Texts<'_> {
        Texts(self)
    }

    /// Its vectors, where they are kept here.
    pub fn vectors(&self) -> VectorRows<'_> {
        VectorRows(self)
    }

    /// Events of no project.
    pub fn unrouted(&self) -> Unrouted<'_> {
        Unrouted(self)
    }

    /// Lists and channels that could become projects.
    pub fn candidates(&self) -> Candidates<'_> {
        Candidates(self)
    }

    /// What it notices of connections and projects.
    pub fn notices(&self) -> Notices<'_> {
        Notices(self)
    }

    /// Notes on connections beside their rows.
    pub fn upkeep(&self) -> Upkeep<'_> {
        Upkeep(self)
    }

    /// Waits until the pipeline has kept something that a row may follow from.
    pub async fn noticed(&self) {
        self.noticed.notified().await;
    }
}

/// A word of an enumeration, as JSON has it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The same, read.
fn from_word<T: serde::de::DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(StoreError::unreadable)
}

/// A list or map, as JSON in one column.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The same, read.
fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(StoreError::unreadable)
}

/// How names are compared that people write in any case.
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}
