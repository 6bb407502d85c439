//! Who is who in other systems.

use pipeline::event::UserMapping;

use super::{
    database::{Line, Value},
    error::StoreError,
    folded,
    rows::{Statements, Stored, statements},
};

impl Stored for UserMapping {
    const STATEMENTS: Statements = statements!("mappings");
    const UNIQUE: &'static [(&'static str, &'static str)] =
        &[("external_user_id", "externalUserId"), ("external_email_folded", "externalEmail")];

    fn values(&self) -> Vec<Value> {
        vec![
            self.external_system.as_str().into(),
            (&self.external_email).into(),
            self.external_email.as_deref().map(folded).into(),
            (&self.external_user_id).into(),
            self.resource_id.as_str().into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(UserMapping {
            external_system: line.text(3)?,
            external_email: line.some_text(4)?,
            external_user_id: line.some_text(5)?,
            resource_id: line.text(6)?,
        })
    }
}
