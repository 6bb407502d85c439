//! Writing: several rows of one tenant, whole or not at all.
//!
//! Every row that is written leaves one in the outbox, in the same transaction,
//! so that what the log announces is what the store holds. The writers of one
//! tenant wait for each other: numbers of the outbox are in the order of the
//! commits, and a change never goes over another that it has not seen.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use pipeline::event::{
    Act, Agent, Alias, Client, Command, Connection, EVERYBODY, HUB, Hold, Project, Row, Tenant, Time, User,
    UserMapping, Workgroup,
};

use super::{
    Store,
    database::{Tx, Value},
    error::StoreError,
    outbox::{COMMAND, post_act, post_row},
    rows::{Entry, Stored, entry, join, refused},
    sql,
};
use runtime::identity::random_hex;

/// What somebody asked for, while it is done: every unit of work that is
/// committed meanwhile writes it down, in its own transaction.
#[derive(Debug)]
pub struct Asked {
    act: Act,
    was_written: AtomicBool,
}

tokio::task_local! {
    static ASKED: Arc<Asked>;
}

/// Does what somebody asked for. Tells also whether a unit of work has written
/// it down.
pub async fn asked<T>(act: Act, work: impl Future<Output = T>) -> (T, bool) {
    let asked = Arc::new(Asked { act, was_written: AtomicBool::new(false) });
    let done = ASKED.scope(Arc::clone(&asked), work).await;
    (done, asked.was_written.load(Relaxed))
}

/// A unit of work on one tenant. Dropped without a commit, it never was.
pub struct Work<'a> {
    store: &'a Store,
    tenant: String,
    tx: Tx,
    now_ms: i64,
    /// The rows that it changed, as `kind/id`.
    touched: Vec<String>,
}

/// Rows that a line of the trail names; of further ones it says how many.
const TOUCHED_MAX: usize = 50;

impl<'a> Work<'a> {
    pub(super) async fn begin(store: &'a Store, tenant: &str) -> Result<Self, StoreError> {
        let mut tx = store.database.begin().await?;
        tx.lock(tenant).await?;
        let now_ms = i64::try_from(store.clock.now_ms()).unwrap_or(i64::MAX);
        Ok(Work { store, tenant: tenant.to_owned(), tx, now_ms, touched: Vec::new() })
    }

    /// A row as this work sees it.
    pub async fn get<R: Stored>(&mut self, id: &str) -> Result<Entry<R>, StoreError> {
        let lines = self.tx.rows(R::STATEMENTS.get, &[self.tenant.as_str().into(), id.into()]).await?;
        let mut entries = lines.iter().map(entry::<R>).collect::<Result<Vec<_>, _>>()?;
        for (number, part) in R::PARTS.iter().enumerate() {
            let lines = self.tx.rows(part.between, &[self.tenant.as_str().into(), id.into(), id.into()]).await?;
            join(&mut entries, number, &lines)?;
        }
        entries.pop().ok_or(StoreError::NotFound { kind: R::KIND })
    }

    /// A new row.
    pub async fn create<R: Stored>(&mut self, id: &str, row: &R) -> Result<Entry<R>, StoreError> {
        if R::KIND != Tenant::KIND {
            // Or the engines would blame the row for it, each in its own words.
            self.get::<Tenant>(&self.tenant.clone()).await?;
        }
        let values = self.values(id, row);
        if let Err(error) = self.tx.execute(R::STATEMENTS.insert, &values).await {
            return Err(refused::<R>(error, R::REFERS));
        }
        self.write_parts(id, row).await?;
        self.announce(id, row).await?;
        let now = Time(self.now_ms);
        Ok(Entry { id: id.to_owned(), created_at: now, updated_at: now, row: row.clone() })
    }

    /// Another row in the place of the one that is there.
    pub async fn replace<R: Stored>(&mut self, id: &str, row: &R) -> Result<Entry<R>, StoreError> {
        let values = self.values(id, row);
        match self.tx.execute(R::STATEMENTS.update, &values).await {
            Ok(0) => return Err(StoreError::NotFound { kind: R::KIND }),
            Ok(_) => {}
            Err(error) => return Err(refused::<R>(error, R::REFERS)),
        }
        for part in R::PARTS {
            self.tx.execute(part.clear, &[self.tenant.as_str().into(), id.into()]).await?;
        }
        self.write_parts(id, row).await?;
        self.announce(id, row).await?;
        self.get(id).await
    }

    /// Takes a row away; who names it lets go of it or goes too.
    pub async fn delete<R: Stored>(&mut self, id: &str) -> Result<(), StoreError> {
        let key: [Value; 2] = [self.tenant.as_str().into(), id.into()];
        for dependents in R::DEPENDENTS {
            let lines = self.tx.rows(dependents.release, &key).await?;
            let mut ids = lines.iter().map(|line| line.text(0)).collect::<Result<Vec<_>, _>>()?;
            ids.sort_unstable();
            for id in ids {
                match dependents.gone {
                    true => self.outbox(dependents.kind, &id, None).await?,
                    false => self.announce_again(dependents.kind, &id).await?,
                }
            }
        }
        match self.tx.execute(R::STATEMENTS.delete, &key).await? {
            0 => Err(StoreError::NotFound { kind: R::KIND }),
            _ => self.outbox(R::KIND, id, None).await,
        }
    }

    /// The secret that a client proves itself with, as its bcrypt hash.
    pub async fn set_secret(&mut self, client_id: &str, bcrypt_hash: &str) -> Result<(), StoreError> {
        let values = [self.tenant.as_str().into(), client_id.into(), bcrypt_hash.into()];
        match self.tx.execute(sql!("client_secrets_set"), &values).await {
            Ok(_) => Ok(()),
            Err(error) => match super::error::broken(&error) {
                Some(_) => Err(StoreError::NotFound { kind: Client::KIND }),
                None => Err(error.into()),
            },
        }
    }

    /// A command to the pipeline, which follows the rows that were written
    /// before it. For who has no log at hand: the announcer appends it.
    pub async fn command(&mut self, id: &str, command: &Command) -> Result<(), StoreError> {
        let data = serde_json::to_string(command).map_err(StoreError::unreadable)?;
        self.outbox(COMMAND, id, Some(data)).await
    }

    /// Makes all of it so, and wakes the announcer.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if let Ok(asked) = ASKED.try_with(Arc::clone) {
            let more = self.touched.len().saturating_sub(TOUCHED_MAX);
            self.touched.truncate(TOUCHED_MAX);
            if more > 0 {
                self.touched.push(format!("… and {more} more"));
            }
            let act = Act {
                id: format!("aud_{}", random_hex()),
                tenant_id: self.tenant.clone(),
                changed: self.touched,
                at: Time(self.now_ms),
                ..asked.act.clone()
            };
            post_act(&mut self.tx, &act).await?;
            asked.was_written.store(true, Relaxed);
        }
        self.tx.commit().await?;
        self.store.written.notify_one();
        Ok(())
    }

    /// Tells of a row once more.
    pub(super) async fn announce_again(&mut self, kind: &str, id: &str) -> Result<(), StoreError> {
        macro_rules! again {
            ($($row:ident),*) => {
                match kind {
                    $($row::KIND => {
                        let row: $row = self.get(id).await?.row;
                        self.announce(id, &row).await
                    })*
                    _ => Ok(()),
                }
            };
        }
        again!(Tenant, Workgroup, Agent, Alias, Project, User, UserMapping, Connection, Client)
    }

    /// The time that its rows are given.
    pub fn now(&self) -> Time {
        Time(self.now_ms)
    }

    pub(super) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    pub(super) async fn announce<R: Stored>(&mut self, id: &str, row: &R) -> Result<(), StoreError> {
        let data = serde_json::to_string(row).map_err(StoreError::unreadable)?;
        self.outbox(R::KIND, id, Some(data)).await
    }

    /// Says that something was changed that has no row in the directory.
    pub(super) fn touched(&mut self, kind: &str, id: &str) {
        self.touched.push(format!("{kind}/{id}"));
    }

    /// Lets go whoever is held for a budget.
    pub(super) async fn release(&mut self, scope: &str) -> Result<(), StoreError> {
        let tenant = self.tenant.clone();
        let id = if scope == EVERYBODY { tenant.clone() } else { format!("{tenant}/{scope}") };
        self.tx.execute(sql!("budget_told_delete"), &[tenant.into(), scope.into()]).await?;
        post_row::<Hold>(&mut self.tx, HUB, Hold::KIND, &id, None, Time(self.now_ms)).await
    }

    pub(super) async fn outbox(&mut self, kind: &str, id: &str, data: Option<String>) -> Result<(), StoreError> {
        self.touched(kind, id);
        let values = [self.tenant.as_str().into(), kind.into(), id.into(), data.into(), self.now_ms.into()];
        self.tx.execute(sql!("outbox_insert"), &values).await?;
        Ok(())
    }

    async fn write_parts<R: Stored>(&mut self, id: &str, row: &R) -> Result<(), StoreError> {
        for (number, part) in R::PARTS.iter().enumerate() {
            for element in row.elements(number) {
                let mut values: Vec<Value> = vec![self.tenant.as_str().into(), id.into()];
                values.extend(element);
                if let Err(error) = self.tx.execute(part.insert, &values).await {
                    return Err(refused::<R>(error, part.field));
                }
            }
        }
        Ok(())
    }

    fn values<R: Stored>(&self, id: &str, row: &R) -> Vec<Value> {
        let mut values: Vec<Value> = vec![self.tenant.as_str().into(), id.into(), self.now_ms.into()];
        values.extend(row.values());
        values
    }
}
