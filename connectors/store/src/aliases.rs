//! Names for lists of agents, found in any case.

use pipeline::event::{Alias, Row};

use super::{
    database::{Line, Value},
    error::StoreError,
    folded,
    repository::Rows,
    rows::{Entry, Part, Statements, Stored, part, statements},
    sql,
    workgroups::numbered,
};

impl Stored for Alias {
    const STATEMENTS: Statements = statements!("aliases");
    const UNIQUE: &'static [(&'static str, &'static str)] = &[("alias_folded", "alias"), ("agent_id", "agentIds")];
    const PARTS: &'static [Part] = &[part!("alias_agents", "agentIds")];

    fn values(&self) -> Vec<Value> {
        vec![self.alias.as_str().into(), folded(&self.alias).into()]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Alias { alias: line.text(3)?, agent_ids: Vec::new() })
    }

    fn elements(&self, _part: usize) -> Vec<Vec<Value>> {
        numbered(&self.agent_ids)
    }

    fn take(&mut self, _part: usize, line: &Line) -> Result<(), StoreError> {
        self.agent_ids.push(line.text(1)?);
        Ok(())
    }
}

impl Rows<'_, Alias> {
    /// The alias that people write so.
    pub async fn by_name(&self, tenant: &str, alias: &str) -> Result<Entry<Alias>, StoreError> {
        let lines = self.store.database.rows(sql!("aliases_by_name"), &[tenant.into(), folded(alias).into()]).await?;
        let line = lines.first().ok_or(StoreError::NotFound { kind: Alias::KIND })?;
        self.get(tenant, &line.text(0)?).await
    }
}
