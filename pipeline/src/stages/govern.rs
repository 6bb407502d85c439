//! Watches what agents do in tasks: when a person speaks there or the task
//! moves, what agents did before counts no more.
//!
//! In: drafts with their task. Out: nothing; what is remembered of agents and
//! tasks is in [`Governed`](crate::state::governed::Governed), and is asked by
//! [`actions`](crate::inputs::actions) before it does what an agent wants. A
//! tick tells of the agents that have fallen silent.

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    event::{ActorKind, EventType},
    governance::TaskTurn,
    state::{PartitionState, governed::NAME, tasks::id_of},
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: NAME, on, on_tick: Some(on_tick) };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    if state.governed.has_no_tasks() || draft.event.echo || draft.facts.is_own {
        return Verdict::Pass;
    }
    if let (Some(task), Some(task_turn)) = (draft.facts.task.map(id_of), task_turn_of(draft)) {
        let tenant = &draft.event.tenant_id;
        state.governed.on_task(state.directory.limits(tenant), tenant, &task, task_turn, turn.now_ms);
    }
    Verdict::Pass
}

/// What a draft means for the agents that speak in its task.
fn task_turn_of(draft: &Draft) -> Option<TaskTurn<'static>> {
    let is_person = draft.event.actor.as_ref().is_some_and(|actor| actor.kind == ActorKind::Human);
    match draft.event.kind {
        EventType::WorkItemStatusChanged if !draft.facts.is_old_news => Some(TaskTurn::Moved),
        EventType::MessagePosted | EventType::CommentPosted if is_person && draft.facts.by.is_none() => {
            Some(TaskTurn::Person)
        }
        _ => None,
    }
}

fn on_tick(state: &mut PartitionState, turn: &mut Turn<'_>) {
    let directory = &mut state.directory;
    let takes_part = |tenant: &str, agent: &str| {
        let known = directory.of(tenant).and_then(|index| index.agent(agent));
        known.is_some_and(|(_, enabled)| enabled)
    };
    state.governed.tell_gone(takes_part, turn);
}
