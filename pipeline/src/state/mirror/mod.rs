//! What the mirror remembers.

pub(crate) mod held;
pub(crate) mod item;
pub(crate) mod items;
pub(crate) mod lanes;
pub(crate) mod pace;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    event::{MirrorRemoval, StandardEvent},
    state::mirror::item::Item,
    turn::{Kept, Turn},
};

/// The kind of state entry in which items are kept.
pub const KIND: &str = items::KIND;
/// The kind of state entry in which held events are kept.
pub const HELD: &str = held::KIND;

/// The kind of state entry in which the projects' windows are kept.
pub const SYNCED: &str = pace::KIND;

/// What this operator is set to.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// How long a command may take to be begun, and words may wait for their
    /// thread. Later than this nobody understands any more what they answer.
    pub patience_ms: u64,
    /// How long after the end of its patience a command's result is waited for.
    pub grace_ms: u64,
    /// How long an echo is waited for before what may have landed is sent again.
    pub settle_ms: u64,
    /// How far an echo may be from the call that it is known by in its words.
    pub echo_ms: u64,
    /// How long an event is held that may be an echo.
    pub held_ms: u64,
    /// How many events of one partition are held at most.
    pub held_max: usize,
    /// After a root message failed, the next word tries again no earlier.
    pub root_again_ms: u64,
    /// What may wait in one lane; more is refused, with an alert.
    pub queued_per_lane_max: usize,
    /// Items that one partition remembers at most.
    pub items_max: usize,
    /// What they may take up together, roughly.
    pub bytes_max: usize,
    /// How long an item is remembered that nothing happens to.
    pub keep_ms: u64,
    /// The longest text that is kept when it stands there: to be put back when
    /// somebody changes our copy.
    pub text_bytes_max: usize,
    /// As long as an agent's words may become by putting more to them.
    pub together_bytes_max: usize,
    /// What is left of a deleted message's copy.
    pub removal: MirrorRemoval,
}

impl Default for Mirror {
    fn default() -> Self {
        Mirror {
            patience_ms: 24 * 3_600_000,
            grace_ms: 3_600_000,
            settle_ms: 30_000,
            echo_ms: 30_000,
            held_ms: 120_000,
            held_max: 2_000,
            root_again_ms: 60_000,
            queued_per_lane_max: 1_000,
            items_max: 100_000,
            bytes_max: 128 << 20,
            keep_ms: 90 * 86_400_000,
            text_bytes_max: 4_096,
            together_bytes_max: 6_000,
            removal: MirrorRemoval::Tombstone,
        }
    }
}

/// What the mirror of one partition remembers.
pub struct Mirrored {
    pub(crate) items: items::Items,
    pub(crate) lanes: lanes::Lanes,
    pub(crate) held: held::Held,
    pub(crate) pace: pace::Pace,
    /// Lanes in which something may be to do, with their tenant.
    pub(crate) stirred: VecDeque<(Arc<str>, u128)>,
    /// What held events need not wait for any more.
    pub(crate) released_causes: Vec<u128>,
}

impl Mirrored {
    /// Nothing is known yet; of so many projects it will be known how fast they
    /// were mirrored.
    pub fn new(projects_max: usize) -> Self {
        Mirrored {
            items: items::Items::default(),
            lanes: lanes::Lanes::default(),
            held: held::Held::default(),
            pace: pace::Pace::new(projects_max),
            stirred: VecDeque::new(),
            released_causes: Vec::new(),
        }
    }

    /// The projects for which something waits, in a fixed order.
    pub fn paced(&self) -> Vec<pace::Project> {
        self.pace.projects()
    }

    /// Projects whose window is remembered, and commands that wait for theirs.
    pub fn pacing(&self) -> (usize, usize) {
        (self.pace.windows.len(), self.pace.waiting())
    }

    /// How many messages it knows on both sides.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.items.len() == 0
    }

    /// How many things are still to be done.
    pub fn waiting(&self) -> usize {
        self.lanes.len()
    }

    /// How many events are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Holds an event until its cause is settled.
    pub fn hold(&mut self, event: StandardEvent, cause: u128, since_ms: u64, turn: &mut Turn<'_>) {
        self.held.hold(event, cause, since_ms, turn);
    }

    /// A lane in which there may be something to do, and whose it is.
    pub fn take_stirred(&mut self) -> Option<(Arc<str>, u128)> {
        self.stirred.pop_front()
    }

    /// An item that is to be looked at again, and whose it is.
    pub fn due(&mut self, now_ms: u64) -> Option<(Arc<str>, u128)> {
        loop {
            let key = self.lanes.due(now_ms)?;
            if let Some(tenant) = self.items.tenant(key) {
                return Some((tenant, key));
            }
        }
    }

    /// Lets go of what is too old; the answer are events that were held too long.
    pub fn on_tick(&mut self, bounds: &Mirror, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        self.items.on_tick(bounds, turn);
        self.pace.windows.on_tick(turn);
        self.held.expired(turn.now_ms.saturating_sub(bounds.held_ms), turn)
    }

    /// What was held and goes on now, oldest first, with the time since when it was.
    pub fn released(&mut self, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        let causes = std::mem::take(&mut self.released_causes);
        causes.into_iter().flat_map(|cause| self.held.release(cause, turn)).collect()
    }

    /// Keeps what changed since the last commit.
    pub fn keep(&mut self, turn: &mut Turn<'_>) {
        self.items.keep(turn);
        self.pace.windows.keep(turn);
    }

    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Kept<'_>, bounds: &Mirror) {
        match kept.kind {
            HELD => return self.held.restore(kept),
            SYNCED => {
                self.pace.windows.restore(kept);
                return;
            }
            _ => {}
        }
        let Some((key, item)) = self.items.restore(kept) else { return };
        if item.is_pending() {
            let mut item = item.clone();
            self.lanes.join(kept.tenant, key, &mut item);
            self.lanes.remind(due_of(&item, bounds), key);
            if item.paced {
                self.pace.join(kept.tenant, &item, key);
            }
        }
    }
}

/// When an item that is under way or waits is to be looked at again.
pub fn due_of(item: &Item, bounds: &Mirror) -> u64 {
    match &item.issued {
        Some(issued) if issued.uncertain => issued.at_ms + bounds.settle_ms,
        Some(issued) => issued.at_ms + bounds.patience_ms + bounds.grace_ms,
        None => item.at_ms + bounds.patience_ms,
    }
}
