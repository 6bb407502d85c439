//! Jira Cloud: comments of issues, and the issues' statuses.

mod api;
mod find;
mod identity;
mod pickers;
mod samples;
mod status;
mod verify;
mod write;

use pipeline::event::{MirrorPlace, Project};

use crate::{
    capability::{Identity, Pickers, SetStatus, Verify, Write, samples::Samples, write::elsewhere},
    client::ProviderError,
    provider::{Api, Provider},
};

/// See the module.
pub struct Jira;

impl Provider for Jira {
    fn name(&self) -> &'static str {
        "jira"
    }
    fn label(&self) -> &'static str {
        "Jira"
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
        project.jira_project_key.as_deref()
    }
    fn set_place(&self, project: &mut Project, place: String) {
        project.jira_project_key = Some(place);
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
    fn identity(&self) -> Option<&dyn Identity> {
        Some(self)
    }
}

/// The issue of a place.
fn issue_of(place: &MirrorPlace) -> Result<&str, ProviderError> {
    match place {
        MirrorPlace::Jira { issue } => Ok(issue),
        place => Err(elsewhere(place)),
    }
}
