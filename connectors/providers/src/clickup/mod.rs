//! ClickUp: comments of tasks, and the tasks' statuses.

mod api;
mod backfill;
mod find;
mod hooks;
mod identity;
mod lookup;
mod oauth;
mod pickers;
mod samples;
mod status;
mod verify;
mod write;

use pipeline::event::{MirrorPlace, Project};

use crate::{
    capability::{
        Backfill, Hooks, Identity, Lookup, OAuth, Pickers, SetStatus, Verify, Write, samples::Samples, write::elsewhere,
    },
    client::ProviderError,
    provider::{Api, Provider},
};

/// See the module.
pub struct ClickUp;

impl Provider for ClickUp {
    fn name(&self) -> &'static str {
        "clickup"
    }
    fn label(&self) -> &'static str {
        "ClickUp"
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
        project.clickup_list_id.as_deref()
    }
    fn set_place(&self, project: &mut Project, place: String) {
        project.clickup_list_id = Some(place);
    }
    fn lookup(&self) -> Option<&dyn Lookup> {
        Some(self)
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

/// The task of a place.
fn task_of(place: &MirrorPlace) -> Result<&str, ProviderError> {
    match place {
        MirrorPlace::Clickup { task_id } => Ok(task_id),
        place => Err(elsewhere(place)),
    }
}
