//! What the mirror remembers.

pub(crate) mod held;
pub(crate) mod item;
pub(crate) mod items;
pub(crate) mod lanes;
pub(crate) mod pace;

use std::{collections::VecDeque, sync::Arc};

use self::item::Item;
use crate::{
    event::StandardEvent,
    settings::MirrorSettings,
    state::{Stateful, StoredEntry},
    turn::Turn,
};

/// What the mirror of one partition remembers.
pub struct MirrorState {
    pub(crate) settings: MirrorSettings,
    pub(crate) items: items::Items,
    pub(crate) lanes: lanes::Lanes,
    pub(crate) held: held::Held,
    pub(crate) pace: pace::Pace,
    /// Lanes in which something may be to do, with their tenant.
    pub(crate) stirred: VecDeque<(Arc<str>, u128)>,
    /// What held events need not wait for any more.
    pub(crate) released_causes: Vec<u128>,
}

impl MirrorState {
    /// Nothing is known yet; of so many projects it will be known how fast they
    /// were mirrored.
    pub fn new(settings: &MirrorSettings, projects_max: usize) -> Self {
        MirrorState {
            settings: settings.clone(),
            items: items::Items::default(),
            lanes: lanes::Lanes::default(),
            held: held::Held::default(),
            pace: pace::Pace::new(projects_max),
            stirred: VecDeque::new(),
            released_causes: Vec::new(),
        }
    }

    /// The projects for which something waits, in a fixed order.
    pub fn paced(&self) -> Vec<pace::PacedProject> {
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

    /// Events that were held too long, oldest first, with the time since when
    /// they were.
    pub fn overdue(&mut self, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        self.held.expired(turn.now_ms.saturating_sub(self.settings.held_ms), turn)
    }

    /// What was held and goes on now, oldest first, with the time since when it was.
    pub fn released(&mut self, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        let causes = std::mem::take(&mut self.released_causes);
        causes.into_iter().flat_map(|cause| self.held.release(cause, turn)).collect()
    }
}

impl Stateful for MirrorState {
    fn kinds(&self) -> &'static [&'static str] {
        &[items::KIND, held::KIND, pace::KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        match kept.key.kind {
            held::KIND => return self.held.restore(kept),
            pace::KIND => {
                self.pace.windows.restore(kept);
                return;
            }
            _ => {}
        }
        let Some((key, item)) = self.items.restore(kept) else { return };
        self.lanes.skip_to(item.turn);
        if item.is_pending() {
            let mut item = item.clone();
            self.lanes.join(kept.key.tenant, key, &mut item);
            self.lanes.remind(due_of(&item, &self.settings), key);
            if item.paced {
                self.pace.join(kept.key.tenant, &item, key);
            }
        }
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        self.items.on_tick(&self.settings, turn);
        self.pace.windows.on_tick(turn);
    }

    fn flush(&mut self, turn: &mut Turn<'_>) {
        self.items.flush(turn);
        self.pace.windows.flush(turn);
    }
}

/// When an item that is under way or waits is to be looked at again.
pub fn due_of(item: &Item, bounds: &MirrorSettings) -> u64 {
    match &item.issued {
        Some(issued) if issued.uncertain => issued.at_ms + bounds.settle_ms,
        Some(issued) => issued.at_ms + bounds.patience_ms + bounds.grace_ms,
        None => item.at_ms + bounds.patience_ms,
    }
}
