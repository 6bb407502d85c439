//! GitHub: comments of issues and pull requests, and whether they are closed.

mod api;
mod backfill;
mod find;
mod hooks;
mod identity;
mod oauth;
mod pickers;
mod samples;
mod status;
mod verify;
mod write;

use pipeline::event::{Connection, MirrorPlace, Project};

use crate::{
    capability::{
        Backfill, Hooks, Identity, OAuth, Pickers, SetStatus, Verify, Write, samples::Samples, write::elsewhere,
    },
    client::ProviderError,
    provider::{Api, Provider},
};

/// See the module.
pub struct GitHub;

impl Provider for GitHub {
    fn name(&self) -> &'static str {
        "github"
    }
    fn label(&self) -> &'static str {
        "GitHub"
    }
    fn api(&self) -> &dyn Api {
        self
    }
    fn verify(&self) -> &dyn Verify {
        self
    }
    fn samples(&self) -> &dyn Samples {
        self
    }
    fn place_of<'p>(&self, project: &'p Project) -> Option<&'p str> {
        project.github_repository.as_deref()
    }
    fn set_place(&self, project: &mut Project, place: String) {
        project.github_repository = Some(place);
    }
    fn leads_to(&self, connection: &Connection, place: &str) -> bool {
        connection.external_id.eq_ignore_ascii_case(place)
    }
    fn write(&self) -> Option<&dyn Write> {
        Some(self)
    }
    fn status(&self) -> Option<&dyn SetStatus> {
        Some(self)
    }
    fn pickers(&self) -> Option<&dyn Pickers> {
        Some(self)
    }
    fn hooks(&self) -> Option<&dyn Hooks> {
        Some(self)
    }
    fn backfill(&self) -> Option<&dyn Backfill> {
        Some(self)
    }
    fn identity(&self) -> Option<&dyn Identity> {
        Some(self)
    }
    fn oauth(&self) -> Option<&dyn OAuth> {
        Some(self)
    }
}

/// The repository of a place, and the number of the issue.
fn issue_of(place: &MirrorPlace) -> Result<(&str, &str, u64), ProviderError> {
    match place {
        MirrorPlace::Github { repository, number } => {
            let (owner, name) = split(repository)?;
            Ok((owner, name, *number))
        }
        place => Err(elsewhere(place)),
    }
}

/// A repository's parts, each of which is one part of an address.
fn split(repository: &str) -> Result<(&str, &str), ProviderError> {
    repository.split_once('/').ok_or_else(|| ProviderError::rejected("a repository is written as owner/name"))
}
