//! The tenants' directories, as this partition has them from `control`.
//!
//! In: rows of `control`, one record a row; a record without a value takes the
//! row away. Out: the row, kept in `pipeline.state` (kind `row`, id
//! `KIND/id`), so that what the operators know is a matter of this partition's
//! own log position and not of another topic's. A change holds from its record
//! on. Secrets, sealed or not, are not kept: only that there is a token.

use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::Value;

use crate::{
    governance::Limits,
    state::{Stateful, StoredEntry, index::Index, rows::Rows},
    turn::Turn,
};

/// The kind of state entry in which rows are kept.
const KIND: &str = "row";

/// All tenants of the partition.
#[derive(Default)]
pub struct Directory {
    /// The limits of tenants that have none of their own.
    limits: Limits,
    companies: HashMap<Arc<str>, Company>,
}

/// One tenant's rows, and what they are found by.
#[derive(Default)]
pub struct Company {
    rows: Rows,
    /// EventBuilder anew when somebody looks after a change: many rows change at once.
    index: Option<Index>,
}

impl Directory {
    /// One that knows nobody yet, with the limits of tenants that have none of
    /// their own.
    pub fn new(limits: Limits) -> Self {
        Directory { limits, companies: HashMap::new() }
    }

    /// Takes up a row of `control`. A row that cannot be read changes nothing.
    pub fn on(
        &mut self,
        tenant: &str,
        kind: &str,
        id: &str,
        data: Option<&Value>,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        match self.put(tenant, kind, id, data) {
            None => Ok(()),
            Some(Ok(kept)) => {
                turn.keep(tenant, KIND, &[kind, id].join("/"), kept.as_ref());
                Ok(())
            }
            Some(Err(error)) => Err(format!("the {kind} {id} cannot be read: {error}")),
        }
    }

    fn put(
        &mut self,
        tenant: &str,
        kind: &str,
        id: &str,
        data: Option<&Value>,
    ) -> Option<Result<Option<Value>, serde_json::Error>> {
        if !self.companies.contains_key(tenant) {
            self.companies.insert(tenant.into(), Company::default());
        }
        let company = self.companies.get_mut(tenant)?;
        let answer = company.rows.put(kind, id, data);
        if let Some(Ok(_)) = &answer {
            company.index = None;
        }
        if company.rows.is_empty() {
            self.companies.remove(tenant);
        }
        answer
    }

    /// What is known of a tenant.
    pub fn of(&mut self, tenant: &str) -> Option<&Index> {
        let Company { rows, index } = self.companies.get_mut(tenant)?;
        Some(index.get_or_insert_with(|| Index::of(rows, &self.limits)))
    }

    /// What is known of a tenant, and what its agents may do.
    pub fn with_limits(&mut self, tenant: &str) -> (Option<&Index>, &Limits) {
        self.of(tenant);
        let index = self.companies.get(tenant).and_then(|company| company.index.as_ref());
        (index, index.map_or(&self.limits, |index| &index.limits))
    }

    /// What a tenant's agents may do.
    pub fn limits(&mut self, tenant: &str) -> &Limits {
        self.with_limits(tenant).1
    }

    /// How many tenants have rows.
    pub fn len(&self) -> usize {
        self.companies.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.companies.is_empty()
    }
}

impl Stateful for Directory {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        if let Some((kind, id)) = kept.key.id.split_once('/') {
            self.put(kept.key.tenant, kind, id, kept.data);
        }
    }
}
