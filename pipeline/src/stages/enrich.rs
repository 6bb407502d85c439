//! Says where an event belongs, who did it and whom it calls.
//!
//! In: a draft, the tenant's directory, and the task it is about as far as that
//! is known. Out: the draft with its project, its mentions resolved, its actor's
//! kind and trust; or `unrouted`, where it names a place that nobody mapped. An
//! event that names no place at all (a person's profile, the app itself, a
//! sender without projects) belongs to the tenant as a whole and is routed
//! nowhere, so it is not `unrouted`; nor is one that tells of a new list or
//! channel, which is a candidate and waits elsewhere.

use std::sync::Arc;

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    event::{ActorKind, EventType, ProjectRef, StandardEvent, Trust},
    state::{
        PartitionState,
        index::{Index, Place},
    },
    topics::UNROUTED,
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "enrich", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, _turn: &mut Turn<'_>) -> Verdict {
    find_place(state, draft);
    Verdict::Pass
}

/// Says of a draft which task it is about, where it belongs, who did it and
/// whom it calls.
pub fn find_place(state: &mut PartitionState, draft: &mut Draft) {
    let index = state.directory.of(&draft.event.tenant_id);
    if draft.facts.task.is_none() {
        draft.facts.task = state.tasks.recall(index, &draft.event);
    }
    let home = draft.facts.task.and_then(|key| state.tasks.get(key)?.project_id.as_deref());
    complete(index, home, draft);
}

/// `home` is the project of the task that the event is about.
fn complete(index: Option<&Index>, home: Option<&str>, draft: &mut Draft) {
    let place = index.and_then(|index| place_of(index, home, &draft.event)).cloned();
    let event = &mut draft.event;
    event.unrouted = event.tenant_id == UNROUTED || place.is_none() && names_a_place(event);
    if let Some(place) = &place {
        place.describe(event.project.get_or_insert_with(ProjectRef::default));
    }
    draft.facts.place = place;
    if let Some(index) = index {
        recognise(index, draft);
        resolve(index, draft);
    }
}

fn place_of<'a>(index: &'a Index, home: Option<&str>, event: &StandardEvent) -> Option<&'a Arc<Place>> {
    let project = event.project.as_ref();
    let named = project.and_then(|project| project.id.as_deref()).and_then(|id| index.project(id));
    let provider = &*event.source.provider;
    let listed = || project.and_then(|project| project.external_id.as_deref()).and_then(|id| index.place(provider, id));
    let task = || home.and_then(|home| index.project(home));
    let channel = || {
        let of_project = project.and_then(|project| project.slack_channel_id.as_deref());
        let of_message = || event.message.as_ref().and_then(|message| message.channel_id.as_deref());
        of_project.or_else(of_message).and_then(|channel| index.place("slack", channel))
    };
    named.or_else(listed).or_else(task).or_else(channel)
}

fn names_a_place(event: &StandardEvent) -> bool {
    if matches!(event.kind, EventType::ProjectCreated | EventType::ChannelCreated) || event.source.provider == "nexus" {
        return false;
    }
    let project = event.project.as_ref();
    event.task.is_some()
        || project.is_some_and(|project| project.external_id.is_some() || project.slack_channel_id.is_some())
}

/// Who did it. What the payload said of a person's trust stays, unless the
/// directory knows better.
fn recognise(index: &Index, draft: &mut Draft) {
    let provider = &*draft.event.source.provider;
    let Some(actor) = &mut draft.event.actor else { return };
    let id = actor.external_id.as_deref();
    let agent = match provider {
        "nexus" => id.and_then(|id| index.agent(id)).map(|(agent, _)| agent),
        _ => id.and_then(|id| index.agent_abroad(provider, id)),
    };
    if let Some(agent) = agent {
        (actor.kind, actor.trust) = (ActorKind::Agent, Trust::Agent);
        actor.agent_id = Some(agent.to_string());
        draft.facts.by = Some(Arc::clone(agent));
    } else if let Some(agent) = &actor.agent_id {
        // It was known when it was first looked at, whatever has become of it.
        draft.facts.by = Some(agent.as_str().into());
    } else if id.is_some_and(|id| index.is_own(provider, id)) {
        (actor.kind, actor.trust) = (ActorKind::Bot, Trust::Bot);
        draft.facts.is_own = true;
    } else if actor.kind == ActorKind::Human && index.is_person(provider, id, actor.email.as_deref()) {
        actor.trust = Trust::Member;
    }
}

/// Whom it calls. A name that nobody has stays, without agents.
fn resolve(index: &Index, draft: &mut Draft) {
    let event = &mut draft.event;
    draft.facts.calls_hub = event.source.event == "app_mention" && event.source.provider == "slack";
    for mention in &mut event.mentions {
        let agents = index.called(&event.source.provider, &mention.alias);
        mention.agent_ids = agents.iter().map(|agent| agent.to_string()).collect();
        draft.facts.called.extend(agents.iter().cloned());
        if agents.is_empty() && index.is_own(&event.source.provider, mention.alias.trim_start_matches('@')) {
            draft.facts.calls_hub = true;
        }
    }
    draft.facts.called.sort_unstable();
    draft.facts.called.dedup();
}
