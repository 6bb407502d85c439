//! One tenant's rows of `control`, as far as the pipeline needs them.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::event::{Agent, Alias, Connection, House, MirrorFilter, Project, Row, Tenant, User, UserMapping, Workgroup};

/// What an agent's capabilities say of tools: `tool:github.create_issue`.
pub const TOOL: &str = "tool:";

/// One tenant's rows. How many there are is bounded by the API that writes
/// them; they are small.
#[derive(Default)]
pub struct Rows {
    pub(super) agents: BTreeMap<Arc<str>, Agent>,
    pub(super) aliases: BTreeMap<Arc<str>, Alias>,
    pub(super) connections: BTreeMap<Arc<str>, Connection>,
    /// One at most, under [`House::ID`].
    pub(super) houses: BTreeMap<Arc<str>, House>,
    pub(super) mappings: BTreeMap<Arc<str>, UserMapping>,
    pub(super) projects: BTreeMap<Arc<str>, Project>,
    /// The tenant's own row: one, under its own id.
    pub(super) tenants: BTreeMap<Arc<str>, Tenant>,
    pub(super) users: BTreeMap<Arc<str>, User>,
    pub(super) workgroups: BTreeMap<Arc<str>, Workgroup>,
}

impl Rows {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
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
    pub fn put(
        &mut self,
        kind: &str,
        id: &str,
        data: Option<&Value>,
    ) -> Option<Result<Option<Value>, serde_json::Error>> {
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
