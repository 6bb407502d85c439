//! Lists, repositories and project keys, and where they are discussed.

use pipeline::event::{Project, Time};

use super::{
    database::{Line, Value},
    error::StoreError,
    folded, from_json, from_word, json,
    rows::{Statements, Stored, statements},
    word,
};

impl Stored for Project {
    const STATEMENTS: Statements = statements!("projects");
    const UNIQUE: &'static [(&'static str, &'static str)] = &[
        ("clickup_list_id", "clickupListId"),
        ("github_repository_folded", "githubRepository"),
        ("jira_project_key", "jiraProjectKey"),
        ("slack_channel_id", "slackChannelId"),
    ];
    const REFERS: &'static str = "workgroupId";

    fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            (&self.workgroup_id).into(),
            (&self.clickup_list_id).into(),
            (&self.github_repository).into(),
            self.github_repository.as_deref().map(folded).into(),
            (&self.jira_project_key).into(),
            (&self.slack_channel_id).into(),
            word(&self.notify).into(),
            json(&self.status_map).into(),
            self.archived.into(),
            self.starts_at.map(|time| time.0).into(),
            self.ends_at.map(|time| time.0).into(),
        ]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Project {
            name: line.text(3)?,
            workgroup_id: line.some_text(4)?,
            clickup_list_id: line.some_text(5)?,
            github_repository: line.some_text(6)?,
            jira_project_key: line.some_text(7)?,
            slack_channel_id: line.some_text(8)?,
            notify: from_word(line.text(9)?)?,
            status_map: from_json(&line.text(10)?)?,
            archived: line.truth(11)?,
            starts_at: line.some_number(12)?.map(Time),
            ends_at: line.some_number(13)?.map(Time),
        })
    }
}
