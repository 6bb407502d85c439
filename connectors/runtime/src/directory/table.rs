//! One kind of row, by tenant and id, and by id alone.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use pipeline::event::Row;
use serde_json::Value;

/// The rows of one kind.
pub struct Table<R> {
    tenants: HashMap<Arc<str>, BTreeMap<Arc<str>, Arc<R>>>,
    /// Which tenant has an id that is unique over all of them.
    owners: HashMap<Arc<str>, Arc<str>>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Table { tenants: HashMap::new(), owners: HashMap::new() }
    }
}

impl<R: Row> Table<R> {
    /// One row.
    pub fn get(&self, tenant: &str, id: &str) -> Option<Arc<R>> {
        self.tenants.get(tenant)?.get(id).cloned()
    }

    /// A tenant's rows.
    pub fn all(&self, tenant: &str) -> Vec<(Arc<str>, Arc<R>)> {
        let rows = self.tenants.get(tenant).into_iter().flatten();
        rows.map(|(id, row)| (Arc::clone(id), Arc::clone(row))).collect()
    }

    /// Every tenant's rows.
    pub fn everywhere(&self) -> Vec<(Arc<str>, Arc<str>, Arc<R>)> {
        let rows = self.tenants.iter().flat_map(|(tenant, rows)| rows.iter().map(move |(id, row)| (tenant, id, row)));
        rows.map(|(tenant, id, row)| (Arc::clone(tenant), Arc::clone(id), Arc::clone(row))).collect()
    }

    /// The row of an id, and whose it is.
    pub fn find(&self, id: &str) -> Option<(Arc<str>, Arc<R>)> {
        let tenant = self.owners.get(id)?;
        Some((Arc::clone(tenant), self.get(tenant, id)?))
    }

    /// Puts a row there, or takes it away. Tells whether something changed.
    pub fn put(&mut self, tenant: &str, id: &str, data: Option<Value>) -> bool {
        let Some(data) = data else { return self.take(tenant, id) };
        let row = match serde_json::from_value::<R>(data) {
            Ok(row) => row,
            Err(error) => {
                tracing::warn!(tenant, kind = R::KIND, id, %error, "a row of control is not understood");
                return false;
            }
        };
        let (tenant, id): (Arc<str>, Arc<str>) = (tenant.into(), id.into());
        self.owners.insert(Arc::clone(&id), Arc::clone(&tenant));
        self.tenants.entry(tenant).or_default().insert(id, Arc::new(row));
        true
    }

    fn take(&mut self, tenant: &str, id: &str) -> bool {
        let Some(rows) = self.tenants.get_mut(tenant) else { return false };
        let taken = rows.remove(id).is_some();
        if rows.is_empty() {
            self.tenants.remove(tenant);
        }
        if taken && self.owners.get(id).is_some_and(|owner| **owner == *tenant) {
            self.owners.remove(id);
        }
        taken
    }
}
