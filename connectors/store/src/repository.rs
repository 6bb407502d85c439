//! The rows of one kind, as a repository: read, listed, made, changed, deleted.

use std::marker::PhantomData;

use pipeline::event::{Row, Tenant};

use super::{
    Store,
    database::{Line, Value},
    error::StoreError,
    rows::{Entry, Page, Paging, Stored, entry, join},
    work::Work,
};

/// The rows of one kind.
pub struct Rows<'a, R> {
    pub(super) store: &'a Store,
    kind: PhantomData<fn() -> R>,
}

impl<'a, R: Stored> Rows<'a, R> {
    pub(super) fn new(store: &'a Store) -> Self {
        Rows { store, kind: PhantomData }
    }

    /// A new row.
    pub async fn create(&self, tenant: &str, id: &str, row: &R) -> Result<Entry<R>, StoreError> {
        let mut work = self.store.work(tenant).await?;
        let entry = work.create(id, row).await?;
        work.commit().await?;
        Ok(entry)
    }

    /// One row.
    pub async fn get(&self, tenant: &str, id: &str) -> Result<Entry<R>, StoreError> {
        let lines = self.store.database.rows(R::STATEMENTS.get, &[tenant.into(), id.into()]).await?;
        let entries = self.whole(tenant, lines).await?;
        entries.into_iter().next().ok_or(StoreError::NotFound { kind: R::KIND })
    }

    /// A tenant's rows, by id.
    pub async fn list(&self, tenant: &str, paging: &Paging) -> Result<Page<Entry<R>>, StoreError> {
        let lines = self.store.database.rows(R::STATEMENTS.page, &paging.values(tenant)).await?;
        let entries = self.whole(tenant, lines).await?;
        Ok(Page::cut(entries, paging.limit(), |entry| &entry.id))
    }

    /// Changes one row: `change` gets it as it is, and nobody else changes it
    /// meanwhile. An error of `change` leaves all as it was.
    pub async fn change<E: From<StoreError>>(
        &self,
        tenant: &str,
        id: &str,
        change: impl FnOnce(&mut R) -> Result<(), E>,
    ) -> Result<Entry<R>, E> {
        let mut work = self.store.work(tenant).await?;
        let mut entry: Entry<R> = work.get(id).await?;
        change(&mut entry.row)?;
        let entry = work.replace(id, &entry.row).await?;
        work.commit().await?;
        Ok(entry)
    }

    /// Takes a row away, with what cannot be without it.
    pub async fn delete(&self, tenant: &str, id: &str) -> Result<(), StoreError> {
        if R::KIND == Tenant::KIND {
            return match tenant == id {
                true => self.store.tenants().delete_all(tenant).await,
                false => Err(StoreError::NotFound { kind: R::KIND }),
            };
        }
        let mut work = self.store.work(tenant).await?;
        work.delete::<R>(id).await?;
        work.commit().await
    }

    /// Rows with their parts.
    pub(super) async fn whole(&self, tenant: &str, lines: Vec<Line>) -> Result<Vec<Entry<R>>, StoreError> {
        let mut entries = lines.iter().map(entry::<R>).collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(entries) };
        let range: [Value; 3] = [tenant.into(), first.id.as_str().into(), last.id.as_str().into()];
        for (number, part) in R::PARTS.iter().enumerate() {
            let lines = self.store.database.rows(part.between, &range).await?;
            join(&mut entries, number, &lines)?;
        }
        Ok(entries)
    }
}

/// A unit of work on the rows of one tenant.
impl Store {
    /// Begins one: nobody else writes this tenant's rows until it ends.
    pub async fn work(&self, tenant: &str) -> Result<Work<'_>, StoreError> {
        Work::begin(self, tenant).await
    }
}
