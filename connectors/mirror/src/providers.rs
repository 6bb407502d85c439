//! THE list of providers that are written to, and which of their functions does
//! what. Their folders have the same files.

use pipeline::event::{MirrorPlace, TaskState};
use udfs::{
    hash::hex,
    markup::{Document, Part, origin::Origin},
};

use super::{
    clickup, github, jira,
    line::{Halt, Line, elsewhere},
    render::Face,
    slack,
};
use providers::client::Provider;

/// Pages that are looked through for what may have landed; what is behind them
/// nobody can tell.
pub(super) const PAGES_MAX: usize = 20;

/// How far a provider's clock may be behind ours.
pub(super) const SKEW_MS: u64 = 60_000;

/// What was changed so shortly before may have been changed after.
const UNTOUCHED_MS: u64 = 5_000;

/// Something that carries our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which part of the message, from one.
    pub part: usize,
    /// The provider's id of it.
    pub id: String,
    /// The content hash of what it says.
    pub hash: String,
}

impl Found {
    /// What carries a mark, if it is this command's.
    pub fn of(origin: Option<Origin>, command: &str, id: Option<String>, says: impl Fn() -> Document) -> Option<Found> {
        let origin = origin.filter(|origin| origin.id == command)?;
        Some(Found { part: origin.part, id: id?, hash: hex(says().content_hash()) })
    }
}

/// A place and its connection's provider agree.
fn fits(line: &Line<'_>, place: &MirrorPlace) -> Result<(), Halt> {
    if line.provider.name() == place.provider() { Ok(()) } else { Err(elsewhere(place)) }
}

/// Says something; its id there.
pub(super) async fn post(line: &Line<'_>, place: &MirrorPlace, part: &Part, face: &Face) -> Result<String, Halt> {
    fits(line, place)?;
    match place {
        MirrorPlace::Slack { channel_id, thread_ts } => {
            slack::write::post(line, channel_id, thread_ts.as_deref(), part, face).await
        }
        MirrorPlace::Clickup { task_id } => clickup::write::post(line, task_id, part).await,
        MirrorPlace::Github { repository, number } => github::write::post(line, repository, *number, part).await,
        MirrorPlace::Jira { issue } => jira::write::post(line, issue, part).await,
    }
}

/// Says something else instead.
pub(super) async fn edit(line: &Line<'_>, place: &MirrorPlace, id: &str, part: &Part) -> Result<(), Halt> {
    fits(line, place)?;
    match place {
        MirrorPlace::Slack { channel_id, .. } => slack::write::edit(line, channel_id, id, part).await,
        MirrorPlace::Clickup { .. } => clickup::write::edit(line, id, part).await,
        MirrorPlace::Github { repository, .. } => github::write::edit(line, repository, id, part).await,
        MirrorPlace::Jira { issue } => jira::write::edit(line, issue, id, part).await,
    }
}

/// Takes something away. That it is gone already is as good.
pub(super) async fn remove(line: &Line<'_>, place: &MirrorPlace, id: &str) -> Result<(), Halt> {
    fits(line, place)?;
    let removed = match place {
        MirrorPlace::Slack { channel_id, .. } => slack::write::remove(line, channel_id, id).await,
        MirrorPlace::Clickup { .. } => clickup::write::remove(line, id).await,
        MirrorPlace::Github { repository, .. } => github::write::remove(line, repository, id).await,
        MirrorPlace::Jira { issue } => jira::write::remove(line, issue, id).await,
    };
    match removed {
        Err(Halt::Gone { .. }) => Ok(()),
        removed => removed,
    }
}

/// What stands there with the mark of a command, in no order.
pub(super) async fn find(
    line: &Line<'_>,
    place: &MirrorPlace,
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, Halt> {
    fits(line, place)?;
    let since_ms = since_ms.saturating_sub(SKEW_MS);
    match place {
        MirrorPlace::Slack { channel_id, thread_ts } => {
            slack::find::find(line, channel_id, thread_ts.as_deref(), command, since_ms).await
        }
        MirrorPlace::Clickup { task_id } => clickup::find::find(line, task_id, command, since_ms).await,
        MirrorPlace::Github { repository, number } => {
            github::find::find(line, repository, *number, command, since_ms).await
        }
        MirrorPlace::Jira { issue } => jira::find::find(line, issue, command, since_ms).await,
    }
}

/// Moves a task; the provider's word for where it is now. `unsure_since_ms`:
/// it may have been moved already.
pub(super) async fn set_status(
    line: &Line<'_>,
    place: &MirrorPlace,
    status: Option<&str>,
    state: TaskState,
    unsure_since_ms: Option<u64>,
) -> Result<String, Halt> {
    fits(line, place)?;
    match place {
        MirrorPlace::Clickup { task_id } => clickup::status::set(line, task_id, status, state, unsure_since_ms).await,
        MirrorPlace::Github { repository, number } => {
            github::status::set(line, repository, *number, status, state, unsure_since_ms).await
        }
        MirrorPlace::Jira { issue } => jira::status::set(line, issue, status, state, unsure_since_ms).await,
        MirrorPlace::Slack { .. } => {
            Err(Halt::Refused { code: "unsupported", detail: "Slack has no tasks".to_owned() })
        }
    }
}

/// Whether a task was changed since something may have been done about it. If
/// not, nothing was done; if so, nobody knows by whom.
pub(super) fn check_untouched(changed_ms: Option<u64>, unsure_since_ms: Option<u64>) -> Result<(), Halt> {
    let Some(since_ms) = unsure_since_ms else { return Ok(()) };
    match changed_ms {
        // GitHub's times are whole seconds, and clocks differ.
        Some(changed_ms) if changed_ms.saturating_add(UNTOUCHED_MS) < since_ms => Ok(()),
        _ => Err(Halt::Unknown { detail: "the task was changed since, and is not as it should be".to_owned() }),
    }
}

/// Whether a connection is of this provider, for work without a place.
pub(super) fn is_slack(line: &Line<'_>) -> Result<(), Halt> {
    if line.provider == Provider::Slack {
        return Ok(());
    }
    Err(Halt::Refused { code: "unsupported", detail: "the connection does not lead to Slack".to_owned() })
}
