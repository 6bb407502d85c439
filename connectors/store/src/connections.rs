//! Links to providers. What is secret in them comes sealed and stays so.

use pipeline::event::Connection;

use super::{
    database::{Line, Value},
    error::StoreError,
    from_json, json,
    rows::{Statements, Stored, statements},
};

impl Stored for Connection {
    const STATEMENTS: Statements = statements!("connections");
    const UNIQUE: &'static [(&'static str, &'static str)] = &[("external_id", "externalId")];

    fn values(&self) -> Vec<Value> {
        vec![
            self.provider.as_str().into(),
            self.external_id.as_str().into(),
            (&self.name).into(),
            json(&self.sealed_secrets).into(),
            (&self.sealed_token).into(),
            (&self.base_url).into(),
            (&self.email).into(),
            json(&self.own_ids).into(),
            self.filters.as_ref().map(json).into(),
            self.enabled.into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Connection {
            provider: line.text(3)?,
            external_id: line.text(4)?,
            name: line.some_text(5)?,
            sealed_secrets: from_json(&line.text(6)?)?,
            sealed_token: line.some_text(7)?,
            base_url: line.some_text(8)?,
            email: line.some_text(9)?,
            own_ids: from_json(&line.text(10)?)?,
            filters: line.some_text(11)?.as_deref().map(from_json).transpose()?,
            enabled: line.truth(12)?,
        })
    }
}
