//! Proposes what could be mapped: lists, repositories, projects and channels
//! that were created and that no project has.
//!
//! In: events of them. Out: candidates (see
//! [`Candidates`](crate::state::candidates::Candidates)), renamed and ended with
//! what they stand for.

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    event::{Candidate, EventType, StandardEvent},
    state::{PartitionState, candidates::Candidates},
    topics::UNROUTED,
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "propose", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    look(&mut state.candidates, draft, turn);
    Verdict::Pass
}

/// Looks whether an event makes, renames or ends a candidate.
fn look(candidates: &mut Candidates, draft: &Draft, turn: &mut Turn<'_>) {
    let event = &draft.event;
    let is_creation = matches!(event.kind, EventType::ProjectCreated | EventType::ChannelCreated);
    if !is_creation && !matches!(event.kind, EventType::ProjectUpdated | EventType::ProjectArchived) {
        return;
    }
    // What belongs to no tenant can be mapped by none.
    let Some(candidate) = candidate_of(event, turn).filter(|_| event.tenant_id != UNROUTED) else { return };
    let tenant = &event.tenant_id;
    match event.kind {
        EventType::ProjectArchived => candidates.end(tenant, &candidate.provider, &candidate.external_id, turn),
        EventType::ProjectUpdated => {
            candidates.rename(tenant, &candidate.provider, &candidate.external_id, candidate.name, turn);
        }
        _ if draft.facts.place.is_none() => candidates.put(tenant, candidate, turn),
        _ => {}
    }
}

fn candidate_of(event: &StandardEvent, turn: &Turn<'_>) -> Option<Candidate> {
    let project = event.project.as_ref()?;
    let external_id = match &*event.source.provider {
        "slack" => project.slack_channel_id.clone(),
        _ => project.external_id.clone(),
    };
    Some(Candidate {
        provider: event.source.provider.clone(),
        external_id: external_id?,
        name: project.name.clone(),
        connection_id: event.source.connection_id.clone(),
        url: event.subject.as_ref().and_then(|subject| subject.url.clone()),
        workgroup_id: None,
        slack_channel_id: None,
        at: turn.now(),
    })
}
