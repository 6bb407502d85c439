//! People, what they may do, and what they are called elsewhere.

use pipeline::event::{Row, User, UserMapping};

use super::{
    agents::{external_id, external_ids},
    database::{Line, Value},
    error::StoreError,
    folded, from_word,
    rows::{Dependents, Part, Statements, Stored, part, statements},
    sql, word,
};

/// The place of the external ids among the parts.
const EXTERNAL_IDS: usize = 0;

impl Stored for User {
    const STATEMENTS: Statements = statements!("users");
    const UNIQUE: &'static [(&'static str, &'static str)] =
        &[("email_folded", "email"), ("external_id", "externalIds"), ("workgroup_id", "workgroupRoles")];
    const PARTS: &'static [Part] =
        &[part!("user_external_ids", "externalIds"), part!("user_workgroups", "workgroupRoles")];
    const DEPENDENTS: &'static [Dependents] =
        &[Dependents { kind: UserMapping::KIND, release: sql!("mappings_delete_of_resource"), gone: true }];

    fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            (&self.email).into(),
            self.email.as_deref().map(folded).into(),
            self.role.name().into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(User { name: line.text(3)?, email: line.some_text(4)?, role: from_word(line.text(5)?)?, ..User::default() })
    }

    fn elements(&self, part: usize) -> Vec<Vec<Value>> {
        if part == EXTERNAL_IDS {
            return external_ids(&self.external_ids);
        }
        let roles = self.workgroup_roles.iter();
        roles.map(|(workgroup, role)| vec![workgroup.as_str().into(), word(role).into()]).collect()
    }

    fn take(&mut self, part: usize, line: &Line) -> Result<(), StoreError> {
        if part == EXTERNAL_IDS {
            self.external_ids.push(external_id(line)?);
        } else {
            self.workgroup_roles.insert(line.text(1)?, from_word(line.text(2)?)?);
        }
        Ok(())
    }
}
