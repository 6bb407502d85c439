//! Decides which agents are told of an event, and numbers what each is told.
//!
//! In: drafts with place, task and calls. Out: [`Recipients`], which `publish` writes
//! to `agents.inbox` beside the event. Only enabled agents of the place are
//! told (see [`Place`](crate::state::index::Place)), an agent never of what it did
//! itself, and each once an event:
//!
//! | event | agents | name |
//! | --- | --- | --- |
//! | `NewWorkItem` | called and assigned (`notify = all`: all of the place) | `task_assigned` |
//! | any other of a task | called or assigned now, and not given it before | `task_assigned` |
//! | any other of a task | those it was given (`notify = all`: all of the place) | `context_update` |
//! | `MessagePosted` outside tracked threads | called; all of the place if only our own bot is | `wake_up` |
//!
//! Edits and deletions are told like what they change: an agent that knows the
//! text must not go on with the old one. An edit wakes nobody who sleeps.

use std::sync::Arc;

use super::{Stage, Verdict, track};
use crate::{
    draft::{Draft, Recipients},
    event::{EventType, Notify},
    state::{
        PartitionState,
        index::{AgentId, Index},
        seqs::{CONTEXT_UPDATE, TASK_ASSIGNED, WAKE_UP},
        tasks::Tasks,
    },
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "route", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, _turn: &mut Turn<'_>) -> Verdict {
    decide(state.directory.of(&draft.event.tenant_id), &mut state.tasks, draft);
    Verdict::Pass
}

/// Decides for one draft.
fn decide(index: Option<&Index>, tasks: &mut Tasks, draft: &mut Draft) {
    let facts = &draft.facts;
    let Some(place) = facts.place.as_ref().filter(|place| !place.archived && !place.agents.is_empty()) else { return };
    if facts.is_own || facts.is_old_news || draft.event.echo || draft.event.is_history() {
        return;
    }
    let is_other = |agent: &AgentId| facts.by.as_ref() != Some(agent);
    let known = facts.task.and_then(|key| Some((key, tasks.get(key)?)));
    let Some((key, task)) = known.filter(|_| draft.event.task.is_some()) else {
        if draft.event.kind == EventType::MessagePosted {
            let all = facts.called.is_empty() && facts.calls_hub;
            let called = place.agents.iter().filter(|agent| all || facts.called.binary_search(agent).is_ok());
            let to: Vec<_> = called.filter(|agent| is_other(agent)).map(|agent| (Arc::clone(agent), None)).collect();
            draft.facts.told = (!to.is_empty()).then_some(Recipients { name: WAKE_UP, to });
        }
        return;
    };
    let Some(calls) = calls_of(draft.event.kind) else { return };
    let provider = &*task.provider;
    let assigned = task.assignees.iter().filter_map(|id| index?.agent_abroad(provider, id));
    let assigned: Vec<&AgentId> = if calls.assigns { assigned.collect() } else { Vec::new() };
    let all = place.notify == Notify::All;
    let (mut given, mut to, mut is_update) = (Vec::new(), Vec::with_capacity(place.agents.len().min(64)), false);
    for agent in &place.agents {
        let had = task.agent_ids.binary_search_by(|known| (**known).cmp(agent)).is_ok();
        let is_called = calls.mentions && facts.called.binary_search(agent).is_ok()
            || assigned.contains(&agent)
            || all && draft.event.kind == EventType::NewWorkItem;
        let is_given = is_called && !had;
        if is_given {
            given.push(agent.to_string());
        }
        if (is_given || had || all) && is_other(agent) {
            is_update |= !is_given;
            to.push((Arc::clone(agent), is_given.then_some(TASK_ASSIGNED)));
        }
    }
    if to.iter().any(|(_, name)| name.is_some()) {
        track::describe(&mut draft.event, task);
    }
    if !given.is_empty() {
        tasks.update(key, |task| {
            task.agent_ids.append(&mut given);
            task.agent_ids.sort_unstable();
        });
    }
    if !is_update {
        to.iter_mut().for_each(|(_, name)| *name = None);
    }
    let name = if is_update { CONTEXT_UPDATE } else { TASK_ASSIGNED };
    draft.facts.told = (!to.is_empty()).then_some(Recipients { name, to });
}

struct Calls {
    mentions: bool,
    assigns: bool,
}

/// How an event of a task gives it to agents; `None`: it is not told at all.
fn calls_of(kind: EventType) -> Option<Calls> {
    let (mentions, assigns) = match kind {
        EventType::NewWorkItem | EventType::WorkItemUpdated | EventType::WorkItemStatusChanged => (true, true),
        EventType::CommentPosted | EventType::CommentUpdated | EventType::MessagePosted | EventType::MessageChanged => {
            (true, false)
        }
        EventType::WorkItemDeleted | EventType::CommentDeleted | EventType::MessageDeleted => (false, false),
        _ => return None,
    };
    Some(Calls { mentions, assigns })
}
