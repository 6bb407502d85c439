//! Asks what became of a list that was changed: only that tells whether it was
//! completed, and how it is called now.
//!
//! In: events of lists. Out: a lookup; the event itself does not wait for it.

use super::{Stage, Verdict};
use crate::{draft::Draft, state::PartitionState, turn::Turn};

/// See the module.
pub const STAGE: Stage = Stage { name: "ask_list", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    if let Some(index) = state.directory.of(&draft.event.tenant_id).filter(|_| !draft.event.unrouted) {
        state.lookups.ask_for_list(index, &draft.event, turn);
    }
    Verdict::Pass
}
