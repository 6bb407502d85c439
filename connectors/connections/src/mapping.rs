//! What follows for projects from what the pipeline keeps: a candidate that has
//! a workgroup and a channel becomes a project, and one whose list is over, or
//! whose end has passed, is archived. A project's beginning is no gate: what is
//! said before it belongs to it.

use pipeline::event::{Candidate, OnListCreated, Project, Time, Workgroup};

use super::Connections;
use providers::client::ProviderError;
use runtime::identity::random_hex;
use store::{Entry, StoreError};

/// Candidates and projects of one look.
const ROWS_AT_ONCE: usize = 500;

/// Characters of a project's name.
const NAME_CHARS_MAX: usize = 200;

/// What a candidate is called, where nobody says more.
pub fn name_of(candidate: &Candidate) -> String {
    let name: String = candidate.name.iter().flat_map(|name| name.chars()).filter(|char| !char.is_control()).collect();
    let name = name.trim();
    let name = if name.is_empty() { candidate.external_id.as_str() } else { name };
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// The project that a candidate would be.
pub fn project_of(candidate: &Candidate) -> Project {
    let mut project = Project {
        name: name_of(candidate),
        workgroup_id: candidate.workgroup_id.clone(),
        slack_channel_id: candidate.slack_channel_id.clone(),
        ..Project::default()
    };
    providers::of(&candidate.provider).set_place(&mut project, candidate.external_id.clone());
    project
}

impl Connections {
    /// Brings the projects in line with what the pipeline keeps.
    pub(super) async fn follow_notices(&self) -> Result<(), ProviderError> {
        for (tenant, candidate) in self.store.candidates().proposed(ROWS_AT_ONCE).await? {
            let Ok(candidate) = serde_json::from_value::<Candidate>(candidate) else { continue };
            if let Err(error) = self.map_proposed(&tenant, &candidate).await {
                let id = &candidate.external_id;
                tracing::debug!(tenant, candidate = id, reason = %error, "a candidate stays one");
            }
        }
        for (tenant, id) in self.store.notices().projects_over(ROWS_AT_ONCE).await? {
            let change = |row: &mut Project| {
                row.archived = true;
                Ok::<(), StoreError>(())
            };
            let is_archived = self.directory.get::<Project>(&tenant, &id).is_none_or(|row| row.archived);
            if is_archived {
                continue;
            }
            match self.store.projects().change(&tenant, &id, change).await {
                Ok(_) => tracing::info!(tenant, project = id, "a project's list is over: it is archived"),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Archives the projects whose end has passed; in how many milliseconds the
    /// next one ends, as far as the directory knows.
    pub(super) async fn archive_ended(&self) -> Result<Option<u64>, ProviderError> {
        let now = Time::from_ms(self.clock.now_ms());
        let mut next: Option<u64> = None;
        for (tenant, id, row) in self.directory.everywhere::<Project>() {
            let Some(ends_at) = row.ends_at.filter(|_| !row.archived) else { continue };
            if ends_at > now {
                let left_ms = ends_at.as_ms() - now.as_ms();
                next = Some(next.map_or(left_ms, |next| next.min(left_ms)));
                continue;
            }
            // Unless somebody has moved its end meanwhile.
            let change = |row: &mut Project| {
                row.archived |= row.ends_at.is_some_and(|ends_at| ends_at <= now);
                Ok::<(), StoreError>(())
            };
            match self.store.projects().change(&tenant, &id, change).await {
                Ok(_) => tracing::info!(tenant = &*tenant, project = &*id, "a project has ended: it is archived"),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(next)
    }

    /// A candidate with a workgroup and a channel needs nobody's word, where the
    /// workgroup wanted that.
    async fn map_proposed(&self, tenant: &str, candidate: &Candidate) -> Result<(), ProviderError> {
        let workgroup = candidate.workgroup_id.as_deref().and_then(|id| self.directory.get::<Workgroup>(tenant, id));
        let Some(workgroup) = workgroup else { return Ok(()) };
        let mut project = project_of(candidate);
        match workgroup.on_list_created {
            OnListCreated::Ask => return Ok(()),
            // The channel stays the workgroup's: what is said there outside of
            // threads is nobody's project.
            OnListCreated::UseWorkgroupChannel => project.slack_channel_id = None,
            OnListCreated::CreateChannel => {}
        }
        let entry = self.create_project(tenant, &project).await?;
        tracing::info!(tenant, project = entry.id, list = candidate.external_id, "a list was mapped");
        Ok(())
    }

    /// A project of what was a candidate; that it is mapped ends the candidate.
    pub async fn create_project(&self, tenant: &str, project: &Project) -> Result<Entry<Project>, StoreError> {
        let id = format!("prj_{}", random_hex());
        let entry = self.store.projects().create(tenant, &id, project).await?;
        self.wake.notify_one();
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use pipeline::event::Time;

    use super::*;

    #[test]
    fn a_candidate_names_what_it_is_mapped_from() {
        let candidate = |provider: &str, name: Option<&str>| Candidate {
            provider: provider.to_owned(),
            external_id: "x/1".to_owned(),
            name: name.map(str::to_owned),
            connection_id: None,
            url: None,
            workgroup_id: Some("wg_1".to_owned()),
            slack_channel_id: Some("C1".to_owned()),
            at: Time(0),
        };
        let project = project_of(&candidate("clickup", Some(" Shop\n ")));
        assert_eq!((project.name.as_str(), project.clickup_list_id.as_deref()), ("Shop", Some("x/1")));
        assert_eq!((project.slack_channel_id.as_deref(), project.workgroup_id.as_deref()), (Some("C1"), Some("wg_1")));
        let project = project_of(&candidate("slack", None));
        assert_eq!((project.name.as_str(), project.slack_channel_id.as_deref()), ("x/1", Some("x/1")));
        assert_eq!(project_of(&candidate("github", None)).github_repository.as_deref(), Some("x/1"));
    }
}
