//! Keeps what nobody mapped, until somebody does.
//!
//! In: published events that are `unrouted`. Out: the same, kept (see
//! [`UnroutedEvents`](crate::state::unrouted::UnroutedEvents)). What belongs to
//! no tenant is not kept: nobody can map it.

use super::{Stage, Verdict};
use crate::{draft::Draft, state::PartitionState, topics::UNROUTED, turn::Turn};

/// See the module.
pub const STAGE: Stage = Stage { name: "shelve", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    if draft.event.unrouted
        && draft.event.tenant_id != UNROUTED
        && let Some(json) = &draft.facts.json
    {
        state.unrouted.add(&draft.event, json, turn);
    }
    Verdict::Pass
}
