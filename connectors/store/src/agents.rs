//! The AI workers of a tenant, and what they are called elsewhere.

use pipeline::event::{Agent, Alias, Client, ExternalId, Row, UserMapping, Workgroup};

use super::{
    database::{Line, Value},
    error::StoreError,
    from_json, json,
    rows::{Dependents, Part, Statements, Stored, part, statements},
    sql,
};

impl Stored for Agent {
    const STATEMENTS: Statements = statements!("agents");
    const UNIQUE: &'static [(&'static str, &'static str)] = &[("external_id", "externalIds")];
    const PARTS: &'static [Part] = &[part!("agent_external_ids", "externalIds")];
    const DEPENDENTS: &'static [Dependents] = &[
        Dependents { kind: Workgroup::KIND, release: sql!("workgroup_agents_leave"), gone: false },
        Dependents { kind: Alias::KIND, release: sql!("alias_agents_leave"), gone: false },
        Dependents { kind: Client::KIND, release: sql!("clients_delete_of_agent"), gone: true },
        Dependents { kind: UserMapping::KIND, release: sql!("mappings_delete_of_resource"), gone: true },
    ];

    fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            (&self.role).into(),
            (&self.avatar).into(),
            (&self.owner).into(),
            json(&self.capabilities).into(),
            self.client_id.as_str().into(),
            self.enabled.into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Agent {
            name: line.text(3)?,
            role: line.some_text(4)?,
            avatar: line.some_text(5)?,
            owner: line.some_text(6)?,
            capabilities: from_json(&line.text(7)?)?,
            external_ids: Vec::new(),
            client_id: line.text(8)?,
            enabled: line.truth(9)?,
        })
    }

    fn elements(&self, _part: usize) -> Vec<Vec<Value>> {
        external_ids(&self.external_ids)
    }

    fn take(&mut self, _part: usize, line: &Line) -> Result<(), StoreError> {
        self.external_ids.push(external_id(line)?);
        Ok(())
    }
}

/// External ids with their places in a list.
pub(super) fn external_ids(ids: &[ExternalId]) -> Vec<Vec<Value>> {
    let element = |(position, id): (usize, &ExternalId)| {
        vec![(position as i64).into(), id.provider.as_str().into(), id.id.as_str().into()]
    };
    ids.iter().enumerate().map(element).collect()
}

/// One of them, read.
pub(super) fn external_id(line: &Line) -> Result<ExternalId, StoreError> {
    Ok(ExternalId { provider: line.text(1)?, id: line.text(2)? })
}
