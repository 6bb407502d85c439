//! Notes for those who look after projects that one's list, repository or
//! tracker project is over (see [`Notices`](crate::state::notices::Notices)).
//!
//! In: `ProjectArchived` of a tracker: what is mapped to it is over, too. A Slack
//! channel that is archived is only where it was discussed.

use super::{Stage, Verdict};
use crate::{draft::Draft, event::EventType, state::PartitionState, turn::Turn};

/// See the module.
pub const STAGE: Stage = Stage { name: "note", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    let event = &draft.event;
    let place = draft.facts.place.as_ref().filter(|place| !place.archived);
    let project = place.and_then(|place| place.project_id.as_deref());
    if event.kind == EventType::ProjectArchived
        && event.source.provider != "slack"
        && let Some(project) = project
    {
        state.notices.end_project(&event.tenant_id, project, turn);
    }
    Verdict::Pass
}
