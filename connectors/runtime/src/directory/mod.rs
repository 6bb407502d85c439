//! The directory as this process has it: the rows of `control`, followed live.
//!
//! In: `control`, all partitions, from the beginning. Out: lookups without
//! waiting. A row holds from the moment its record is read here; until
//! [`Directory::follow`] has said that it caught up, nothing is known.

mod table;

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use pipeline::{
    event::{Agent, Alias, Client, Connection, Control, House, Project, Row, Tenant, User, UserMapping, Workgroup},
    ports::{Log, LogError, Record, Start, Visibility},
    topics::Topic,
};
use tokio::{sync::watch, task::JoinSet};

pub use table::Table;

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 256;

/// All rows of all tenants.
#[derive(Default)]
pub struct Tables {
    tenants: Table<Tenant>,
    workgroups: Table<Workgroup>,
    agents: Table<Agent>,
    aliases: Table<Alias>,
    projects: Table<Project>,
    users: Table<User>,
    mappings: Table<UserMapping>,
    connections: Table<Connection>,
    clients: Table<Client>,
    houses: Table<House>,
}

/// A row whose table is one of ours.
pub trait Kept: Row {
    /// Its table.
    fn table(tables: &Tables) -> &Table<Self>
    where
        Self: Sized;
    /// Its table, to change it.
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>
    where
        Self: Sized;
}

macro_rules! kept {
    ($($row:ident: $table:ident),* $(,)?) => {
        $(impl Kept for $row {
            fn table(tables: &Tables) -> &Table<Self> {
                &tables.$table
            }
            fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$table
            }
        })*

        fn put(tables: &mut Tables, kind: &str, tenant: &str, id: &str, data: Option<serde_json::Value>) -> bool {
            match kind {
                $($row::KIND => $row::table_mut(tables).put(tenant, id, data),)*
                _ => false,
            }
        }
    };
}

kept! {
    Tenant: tenants,
    Workgroup: workgroups,
    Agent: agents,
    Alias: aliases,
    Project: projects,
    User: users,
    UserMapping: mappings,
    Connection: connections,
    Client: clients,
    House: houses,
}

/// The rows, shared by whoever asks.
#[derive(Default)]
pub struct Directory {
    tables: RwLock<Tables>,
    changed: watch::Sender<u64>,
    known: AtomicBool,
}

impl Directory {
    /// One row.
    pub fn get<R: Kept>(&self, tenant: &str, id: &str) -> Option<Arc<R>> {
        R::table(&self.read()).get(tenant, id)
    }

    /// A tenant's rows of a kind, by their ids.
    pub fn all<R: Kept>(&self, tenant: &str) -> Vec<(Arc<str>, Arc<R>)> {
        R::table(&self.read()).all(tenant)
    }

    /// Every tenant's rows of a kind: tenant, id, row.
    pub fn everywhere<R: Kept>(&self) -> Vec<(Arc<str>, Arc<str>, Arc<R>)> {
        R::table(&self.read()).everywhere()
    }

    /// A client and its tenant. Clients' ids are unique over all tenants.
    pub fn client(&self, client_id: &str) -> Option<(Arc<str>, Arc<Client>)> {
        self.read().clients.find(client_id)
    }

    /// Counts the changes, so that a waiter hears of the next.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether all that was there at the beginning is known: before that, what is
    /// not found may still be there.
    pub fn is_known(&self) -> bool {
        self.known.load(Relaxed)
    }

    /// Waits until it is.
    pub async fn until_known(&self) {
        let mut changes = self.changes();
        while !self.is_known() {
            // The sender is a part of the directory.
            let _ = changes.changed().await;
        }
    }

    /// Says that nothing more is to be waited for.
    pub fn set_known(&self) {
        self.known.store(true, Relaxed);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Takes up one record of `control`. What is no row of ours, or of a later
    /// version that we cannot read, is left alone.
    pub fn apply(&self, record: &Record) {
        let Ok(key) = std::str::from_utf8(&record.key) else { return };
        let mut parts = key.splitn(3, '/');
        let (Some(tenant), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return };
        let data = match record.value.as_deref().map(serde_json::from_slice::<Control>) {
            None => None,
            Some(Ok(control)) => Some(control.data),
            Some(Err(error)) => {
                tracing::warn!(key, %error, "a record of control is not understood");
                return;
            }
        };
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let done = put(&mut tables, kind, tenant, id, data);
        drop(tables);
        if done {
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// Follows `control` until the log fails; calls `caught_up` once, when all
    /// that was there at the beginning is known.
    pub async fn follow(self: Arc<Self>, log: Arc<dyn Log>, caught_up: impl FnOnce()) -> Result<(), LogError> {
        let ends = log.lag("", &[Topic::Control]).await?;
        let mut readers = Vec::new();
        for partition in 0..log.partitions() {
            let end = ends.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.end_offset);
            let mut reader = log.read(Topic::Control, partition, Start::Oldest, Visibility::Durable).await?;
            let mut next = 0;
            while next < end {
                let records = reader.ready(RECORDS_AT_ONCE).await?;
                // Compaction may have taken the last ones before the end.
                let Some(last) = records.last() else { break };
                next = last.position.offset + 1;
                records.iter().for_each(|record| self.apply(record));
            }
            readers.push(reader);
        }
        self.set_known();
        caught_up();
        let mut following = JoinSet::new();
        for mut reader in readers {
            let directory = Arc::clone(&self);
            following.spawn(async move {
                loop {
                    match reader.next(RECORDS_AT_ONCE).await {
                        Ok(records) => records.iter().for_each(|record| directory.apply(record)),
                        Err(error) => return error,
                    }
                }
            });
        }
        match following.join_next().await {
            Some(Ok(error)) => Err(error),
            _ => Err(LogError::Closed),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}
