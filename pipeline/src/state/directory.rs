//! The tenants' directories, as this partition has them from `control`.
//!
//! In: rows of `control`, one record a row; a record without a value takes the
//! row away. Out: the row, kept in `pipeline.state` (kind `row`, id
//! `KIND/id`), so that what the operators know is a matter of this partition's
//! own log position and not of another topic's. A change holds from its record
//! on. Secrets, sealed or not, are not kept: only that there is a token.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use serde_json::Value;

use crate::{
    event::{Agent, Alias, Connection, House, MirrorFilter, Project, Row, Tenant, User, UserMapping, Workgroup},
    governance::Limits,
    state::index::{Index, TOOL},
    turn::{Kept, Turn},
};

/// The stage's name.
pub const NAME: &str = "directory";
/// The kind of state entry in which rows are kept.
pub const KIND: &str = "row";

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
    /// Made anew when somebody looks after a change: many rows change at once.
    index: Option<Index>,
}

/// One tenant's rows. How many there are is bounded by the API that writes
/// them; they are small.
#[derive(Default)]
pub struct Rows {
    pub(crate) agents: BTreeMap<Arc<str>, Agent>,
    pub(crate) aliases: BTreeMap<Arc<str>, Alias>,
    pub(crate) connections: BTreeMap<Arc<str>, Connection>,
    /// One at most, under [`House::ID`].
    pub(crate) houses: BTreeMap<Arc<str>, House>,
    pub(crate) mappings: BTreeMap<Arc<str>, UserMapping>,
    pub(crate) projects: BTreeMap<Arc<str>, Project>,
    /// The tenant's own row: one, under its own id.
    pub(crate) tenants: BTreeMap<Arc<str>, Tenant>,
    pub(crate) users: BTreeMap<Arc<str>, User>,
    pub(crate) workgroups: BTreeMap<Arc<str>, Workgroup>,
}

impl Rows {
    fn is_empty(&self) -> bool {
        self.agents.is_empty()
            && self.aliases.is_empty()
            && self.connections.is_empty()
            && self.houses.is_empty()
            && self.mappings.is_empty()
            && self.projects.is_empty()
            && self.tenants.is_empty()
            && self.users.is_empty()
            && self.workgroups.is_empty()
    }

    /// Puts a row there or takes it away. The answer is the row as it is to be
    /// kept; `None` for a kind that no operator needs.
    fn put(&mut self, kind: &str, id: &str, data: Option<&Value>) -> Option<Result<Option<Value>, serde_json::Error>> {
        Some(match kind {
            Agent::KIND => set(&mut self.agents, id, data, |agent| {
                // Only for people's eyes; there can be many agents.
                (agent.owner, agent.role) = (None, None);
                agent.capabilities.retain(|can| can.starts_with(TOOL));
            }),
            Alias::KIND => set(&mut self.aliases, id, data, |_| {}),
            Connection::KIND => set(&mut self.connections, id, data, |connection| {
                connection.sealed_secrets.clear();
                connection.sealed_token = connection.sealed_token.take().map(|_| String::new());
                // The rest is for those who take the events in.
                connection.filters = connection.filters.take().and_then(|filters| MirrorFilter::of(&filters)?.kept());
            }),
            House::KIND => set(&mut self.houses, id, data, |_| {}),
            Project::KIND => set(&mut self.projects, id, data, |_| {}),
            Tenant::KIND => set(&mut self.tenants, id, data, |tenant| {
                *tenant = Tenant { limits: tenant.limits.take(), ..Tenant::default() };
            }),
            User::KIND => set(&mut self.users, id, data, |user| user.workgroup_roles.clear()),
            UserMapping::KIND => set(&mut self.mappings, id, data, |_| {}),
            Workgroup::KIND => set(&mut self.workgroups, id, data, |_| {}),
            _ => return None,
        })
    }
}

fn set<R: Row>(
    rows: &mut BTreeMap<Arc<str>, R>,
    id: &str,
    data: Option<&Value>,
    slim: impl Fn(&mut R),
) -> Result<Option<Value>, serde_json::Error> {
    let Some(data) = data else {
        rows.remove(id);
        return Ok(None);
    };
    let mut row = R::deserialize(data)?;
    slim(&mut row);
    let kept = serde_json::to_value(&row)?;
    rows.insert(id.into(), row);
    Ok(Some(kept))
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

    /// Takes up a row that an earlier run kept.
    pub fn restore(&mut self, kept: Kept<'_>) {
        if let Some((kind, id)) = kept.id.split_once('/') {
            self.put(kept.tenant, kind, id, kept.data);
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

    /// What a tenant's agents may do.
    pub fn limits(&mut self, tenant: &str) -> &Limits {
        self.of(tenant);
        let index = self.companies.get(tenant).and_then(|company| company.index.as_ref());
        index.map_or(&self.limits, |index| &index.limits)
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
