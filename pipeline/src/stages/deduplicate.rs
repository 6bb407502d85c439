//! Drops what was already published: provider retries, duplicates under new
//! delivery ids, and the two events that some providers send for one thing.
//!
//! In: drafts with their marks. Out: the first draft of each mark (see
//! [`Seen`](crate::state::seen::Seen)).

use super::{Stage, Verdict};
use crate::{draft::Draft, event::Reconciled, state::PartitionState, turn::Turn};

/// See the module.
pub const STAGE: Stage = Stage { name: "deduplicate", on, on_tick: None };

/// A thing that was found has another mark than one that was told, so that a
/// provider's own requests are not held against each other by it.
const FOUND: u128 = 0x666f_756e_6400_0000_0000_0000_0000_0001;
/// And so has one that is from before anybody listened, which nobody was told
/// of: where the provider tells of it after all, it is no repeat.
const OLD: u128 = 0x6f6c_6400_0000_0000_0000_0000_0000_0001;

/// Lets the first of each mark pass.
fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    let mut checked = draft.marks.clone();
    if let Some(told) = draft.thing {
        let (found, old) = (told ^ FOUND, told ^ OLD);
        match draft.event.reconciled {
            None => {
                checked.push(found);
                draft.marks.push(told);
            }
            Some(Reconciled::Missed) => {
                checked.extend([told, found, old]);
                draft.marks.push(found);
            }
            Some(Reconciled::History) => {
                checked.extend([told, found, old]);
                draft.marks = vec![old];
            }
        }
    }
    let is_first = state.seen.admit(&draft.event.tenant_id, &checked, &draft.marks, turn);
    if is_first { Verdict::Pass } else { Verdict::Repeat }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Actor, ActorKind, EventType, Trust},
        event_builder::EventBuilder,
        ports::{NewRecord, Position},
        settings::Settings,
        topics::Topic,
    };

    fn turn(now_ms: u64, outputs: &mut Vec<NewRecord>) -> Turn<'_> {
        let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 0 };
        Turn { now_ms, source, identity: 1, partitions: 1, outputs }
    }

    #[test]
    fn what_is_found_is_a_repeat_of_what_was_told_and_nothing_else() {
        let draft = |mark: u128, reconciled| {
            let mut nothing = Vec::new();
            let actor = Actor {
                kind: ActorKind::Human,
                trust: Trust::Member,
                external_id: None,
                agent_id: None,
                name: None,
                email: None,
            };
            let of = EventBuilder {
                tenant: "acme",
                kind: EventType::NewWorkItem,
                event: "x",
                operator: "test",
                trace_id: None,
            };
            let mut draft = Draft::of(of.event(actor, &turn(0, &mut nothing)));
            (draft.marks, draft.thing, draft.event.reconciled) = (vec![mark], Some(7), reconciled);
            draft
        };
        let (found, old) = (Some(Reconciled::Missed), Some(Reconciled::History));
        let passes = |drafts: &[(u128, Option<Reconciled>)]| -> Vec<bool> {
            let mut state = PartitionState::new(&Settings::default());
            let pass = |&(mark, reconciled): &(u128, _)| {
                let verdict = on(&mut state, &mut draft(mark, reconciled), &mut turn(0, &mut Vec::new()));
                matches!(verdict, Verdict::Pass)
            };
            drafts.iter().map(pass).collect()
        };
        assert_eq!(passes(&[(1, None), (2, None), (2, None)]), [true, true, false], "the provider's marks alone");
        assert_eq!(passes(&[(1, None), (3, found)]), [true, false]);
        assert_eq!(passes(&[(3, found), (1, None)]), [true, false]);
        assert_eq!(passes(&[(3, found), (4, found)]), [true, false]);
        assert_eq!(passes(&[(1, None), (3, old)]), [true, false]);
        assert_eq!(passes(&[(3, old), (4, old), (5, found)]), [true, false, false]);
        assert_eq!(passes(&[(3, old), (1, None), (1, None)]), [true, true, false], "nobody was told of it");
        assert_eq!(passes(&[(1, old), (1, None)]), [true, true]);
    }
}
