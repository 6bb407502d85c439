//! To move a task from one status to another.

use pipeline::event::{MirrorPlace, TaskState};

use crate::{
    client::{ProviderClient, ProviderError},
    provider::Asking,
};

/// What was changed so shortly before may have been changed after.
const UNTOUCHED_MS: u64 = 5_000;

/// What a task is to become.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The provider's word. Without one the provider's own status of the kind
    /// that fits the state is taken.
    pub status: Option<&'a str>,
    /// The state.
    pub state: TaskState,
    /// Since when it may have been moved already.
    pub unsure_since_ms: Option<u64>,
}

/// Moves tasks.
pub trait SetStatus: Send + Sync {
    /// Moves one; the provider's word for where it is now.
    fn set<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, wanted: Move<'a>) -> Asking<'a, String>;
}

/// Whether a task was changed since something may have been done about it. If
/// not, nothing was done; if so, nobody knows by whom.
pub fn check_untouched(changed_ms: Option<u64>, unsure_since_ms: Option<u64>) -> Result<(), ProviderError> {
    let Some(since_ms) = unsure_since_ms else { return Ok(()) };
    match changed_ms {
        // GitHub's times are whole seconds, and clocks differ.
        Some(changed_ms) if changed_ms.saturating_add(UNTOUCHED_MS) < since_ms => Ok(()),
        _ => Err(ProviderError::cannot_tell("the task was changed since, and is not as it should be")),
    }
}
