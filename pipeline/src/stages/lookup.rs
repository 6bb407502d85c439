//! Asks the provider for what an event lacks, and holds the event meanwhile.
//!
//! In: drafts of ClickUp tasks. Out: the same at once, or held (see
//! [`Lookups`]) where neither the event nor the hub knows title or list and the
//! connection has a token to ask with. What is held goes on from the next stage,
//! with what was found, or marked `incomplete` after
//! [`LookupSettings::patience_ms`](crate::settings::LookupSettings::patience_ms),
//! or at once where there is no room.

use super::{Stage, Verdict};
use crate::{
    draft::{Draft, Facts},
    event::EventType,
    state::{
        PartitionState, Resumed,
        index::Index,
        lookups::{Lookups, may_ask},
        tasks::Tasks,
    },
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "lookup", on, on_tick: Some(on_tick) };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    let index = state.directory.of(&draft.event.tenant_id);
    draft.facts.task = state.tasks.recall(index, &draft.event);
    let Some(key) = draft.facts.task.filter(|key| wants(&state.lookups, index, &state.tasks, *key, draft)) else {
        return Verdict::Pass;
    };
    if state.lookups.hold(key, &draft.event, turn) {
        return Verdict::Held;
    }
    // Those of the same task go on before it.
    let earlier = state.lookups.release_incomplete(key, turn);
    state.resumed.extend(earlier.into_iter().map(Resumed::of));
    draft.event.incomplete = true;
    draft.facts = Facts::default();
    Verdict::Pass
}

fn on_tick(state: &mut PartitionState, turn: &mut Turn<'_>) {
    let overdue = state.lookups.overdue(turn);
    state.resumed.extend(overdue.into_iter().map(Resumed::of));
}

/// Whether a draft is to be held. `key` is its task's.
fn wants(lookups: &Lookups, index: Option<&Index>, tasks: &Tasks, key: u128, draft: &Draft) -> bool {
    let event = &draft.event;
    if event.source.provider != "clickup" || !is_of_task(event.kind) {
        return false;
    }
    if lookups.holds(key) {
        return true;
    }
    let Some(index) = index.filter(|_| event.kind != EventType::WorkItemDeleted) else { return false };
    if !may_ask(index, event) {
        return false;
    }
    let known = tasks.get(key);
    let list = event.project.as_ref().and_then(|project| project.external_id.as_deref());
    let has_home = known.is_some_and(|task| task.project_id.is_some());
    if list.is_some_and(|list| index.place("clickup", list).is_none()) && !has_home {
        // Nobody is going to be told of it, however complete it is.
        return false;
    }
    let has_title =
        event.task.as_ref().is_some_and(|task| task.title.is_some()) || known.is_some_and(|task| task.title.is_some());
    !has_title || (list.is_none() && !has_home)
}

fn is_of_task(kind: EventType) -> bool {
    use EventType::{
        CommentDeleted, CommentPosted, CommentUpdated, NewWorkItem, WorkItemDeleted, WorkItemStatusChanged,
        WorkItemUpdated,
    };
    matches!(
        kind,
        NewWorkItem
            | WorkItemUpdated
            | WorkItemStatusChanged
            | WorkItemDeleted
            | CommentPosted
            | CommentUpdated
            | CommentDeleted
    )
}
