//! Slack: messages in channels and threads, whispers, channels. It has no tasks.

mod api;
mod backfill;
mod channel;
mod find;
mod hooks;
mod identity;
mod oauth;
mod pickers;
mod samples;
mod verify;
mod write;

use pipeline::event::{MirrorPlace, Project};

use crate::{
    capability::{Backfill, Hooks, Identity, OAuth, Pickers, Verify, Write, samples::Samples, write::elsewhere},
    client::ProviderError,
    provider::{Api, Provider},
};

/// See the module.
pub struct Slack;

impl Provider for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }
    fn label(&self) -> &'static str {
        "Slack"
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
        project.slack_channel_id.as_deref()
    }
    fn set_place(&self, project: &mut Project, place: String) {
        project.slack_channel_id = Some(place);
    }
    fn write(&self) -> Option<&dyn Write> {
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

/// The channel of a place, and the thread.
fn channel_of(place: &MirrorPlace) -> Result<(&str, Option<&str>), ProviderError> {
    match place {
        MirrorPlace::Slack { channel_id, thread_ts } => Ok((channel_id, thread_ts.as_deref())),
        place => Err(elsewhere(place)),
    }
}
