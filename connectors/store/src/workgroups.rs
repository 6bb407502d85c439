//! The squads of a tenant, and who is in them.

use pipeline::event::{Project, Row, User, Workgroup};

use super::{
    database::{Line, Value},
    error::StoreError,
    folded, from_word,
    rows::{Dependents, Part, Statements, Stored, part, statements},
    sql, word,
};

impl Stored for Workgroup {
    const STATEMENTS: Statements = statements!("workgroups");
    const UNIQUE: &'static [(&'static str, &'static str)] = &[("name_folded", "name"), ("agent_id", "agentIds")];
    const PARTS: &'static [Part] = &[part!("workgroup_agents", "agentIds")];
    const DEPENDENTS: &'static [Dependents] = &[
        Dependents { kind: Project::KIND, release: sql!("projects_leave_workgroup"), gone: false },
        Dependents { kind: User::KIND, release: sql!("user_workgroups_leave"), gone: false },
    ];

    fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            folded(&self.name).into(),
            (&self.slack_channel_id).into(),
            (&self.clickup_space_id).into(),
            (&self.clickup_folder_id).into(),
            word(&self.on_list_created).into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Workgroup {
            name: line.text(3)?,
            slack_channel_id: line.some_text(4)?,
            clickup_space_id: line.some_text(5)?,
            clickup_folder_id: line.some_text(6)?,
            on_list_created: from_word(line.text(7)?)?,
            agent_ids: Vec::new(),
        })
    }

    fn elements(&self, _part: usize) -> Vec<Vec<Value>> {
        numbered(&self.agent_ids)
    }

    fn take(&mut self, _part: usize, line: &Line) -> Result<(), StoreError> {
        self.agent_ids.push(line.text(1)?);
        Ok(())
    }
}

/// Ids with their places in a list.
pub(super) fn numbered(ids: &[String]) -> Vec<Vec<Value>> {
    ids.iter().enumerate().map(|(position, id)| vec![(position as i64).into(), id.as_str().into()]).collect()
}
