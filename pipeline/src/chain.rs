//! The second half of the chain, which every event takes, wherever it began:
//!
//! ```text
//! admit ─▸ lookup ─▸ onward: enrich ─▸ track ─▸ route ─▸ publish
//!            └─ held until the details are there, or long enough
//! ```
//!
//! In: drafts that are new. Out: events, letters to agents, and the state that
//! the stages keep (see the `KIND` of each).

use serde_json::Value;

use crate::{
    event::LookupResult,
    flow::Settings,
    operators::{
        Draft, Kept, Turn,
        answers::{self, Answers},
        candidates::{self, Candidates},
        directory::{self, Directory},
        enrich,
        lookup::{self, Lookup, Lookups},
        publish,
        route::{self, Seqs},
        tasks::{self, Tasks},
        track::Track,
        unrouted::{self, Shelf, Unrouted},
    },
    topics::UNROUTED,
};

/// The stages of one partition, and what they remember.
pub struct Chain {
    /// Events published so far.
    pub published: u64,
    pub(crate) lookup: Lookup,
    pub(crate) track: Track,
    shelving: Unrouted,
    pub(crate) directory: Directory,
    pub(crate) tasks: Tasks,
    pub(crate) seqs: Seqs,
    pub(crate) unrouted: Shelf,
    pub(crate) answers: Answers,
    lookups: Lookups,
    candidates: Candidates,
}

/// How much the chain remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Tenants with a directory.
    pub tenants: usize,
    /// Tasks.
    pub tasks: usize,
    /// Events that nobody mapped.
    pub unrouted: usize,
    /// Events that are held.
    pub held: usize,
}

impl Chain {
    /// A chain that remembers nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Chain {
            published: 0,
            lookup: settings.lookup.clone(),
            track: settings.track.clone(),
            shelving: settings.unrouted.clone(),
            directory: Directory::default(),
            tasks: Tasks::default(),
            seqs: Seqs::default(),
            unrouted: Shelf::default(),
            answers: Answers::default(),
            lookups: Lookups::default(),
            candidates: Candidates::default(),
        }
    }

    /// Lets a new draft in: on at once, or held until its details are there.
    pub fn admit(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        let index = self.directory.of(&draft.event.tenant_id);
        let key = self.tasks.recall(index, &draft.event);
        let wants = key.filter(|key| self.lookup.wants(&self.lookups, index, &self.tasks, *key, &draft));
        match wants {
            None => {
                draft.facts.task = key;
                self.enrich(&mut draft);
                self.finish(draft, turn);
            }
            Some(key) => {
                for draft in self.lookup.hold(&mut self.lookups, key, draft, turn) {
                    self.onward(draft, turn);
                }
            }
        }
    }

    /// The rest of the way.
    pub fn onward(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        self.find_place(&mut draft);
        self.finish(draft, turn);
    }

    fn finish(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        self.track.on(&mut self.tasks, &mut draft, turn);
        let index = self.directory.of(&draft.event.tenant_id);
        route::on(index, &mut self.tasks, &mut draft);
        if let Some(index) = index.filter(|_| !draft.event.unrouted) {
            self.lookup.ask_for_list(&mut self.lookups, index, &draft.event, turn);
        }
        self.candidates.on(&draft, turn);
        let json = publish::on(&mut self.seqs, &draft, turn);
        self.published += 1;
        if let Some(json) = json.filter(|_| draft.event.unrouted && draft.event.tenant_id != UNROUTED) {
            self.shelving.add(&mut self.unrouted, &draft.event, &json, turn);
        }
    }

    /// Says of a draft which task it is about and where it belongs.
    pub(crate) fn find_place(&mut self, draft: &mut Draft) {
        if draft.facts.task.is_none() {
            let index = self.directory.of(&draft.event.tenant_id);
            draft.facts.task = self.tasks.recall(index, &draft.event);
        }
        self.enrich(draft);
    }

    fn enrich(&mut self, draft: &mut Draft) {
        let index = self.directory.of(&draft.event.tenant_id);
        let home = draft.facts.task.and_then(|key| self.tasks.get(key)?.project_id.as_deref());
        enrich::on(index, home, draft);
    }

    /// A row of the directory has changed.
    pub(crate) fn on_control(
        &mut self,
        tenant: &str,
        kind: &str,
        id: &str,
        row: Option<&Value>,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        self.directory.on(tenant, kind, id, row, turn)?;
        self.candidates.on_row(tenant, kind, row, turn);
        Ok(())
    }

    /// Details have come.
    pub(crate) fn on_found(&mut self, result: &LookupResult, turn: &mut Turn<'_>) {
        for draft in self.lookup.on_result(&mut self.lookups, result, turn) {
            self.onward(draft, turn);
        }
        if let Some(list) = self.lookup.on_list(&mut self.lookups, result, turn) {
            self.candidates.rename(&result.tenant_id, "clickup", &list.list_id, list.name, turn);
            if let Some(draft) = list.archived {
                self.onward(draft, turn);
            }
        }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn<'_>) {
        for draft in self.lookup.on_tick(&mut self.lookups, turn) {
            self.onward(draft, turn);
        }
        self.shelving.on_tick(&mut self.unrouted, turn);
        self.answers.on_tick(turn);
    }

    /// Keeps what changes too often to be kept each time.
    pub(crate) fn keep(&mut self, turn: &mut Turn<'_>) {
        self.tasks.keep(turn);
        self.seqs.keep(turn);
    }

    /// Takes up what an earlier run kept.
    pub(crate) fn restore(&mut self, kept: Kept<'_>) {
        match kept.kind {
            directory::KIND => self.directory.restore(kept),
            tasks::KIND => self.tasks.restore(kept, &self.track),
            route::KIND => self.seqs.restore(kept),
            unrouted::KIND => self.shelving.restore(&mut self.unrouted, kept),
            candidates::KIND => self.candidates.restore(kept),
            answers::KIND => self.answers.restore(kept),
            lookup::PARKED | lookup::ASKED => self.lookup.restore(&mut self.lookups, kept),
            _ => {}
        }
    }

    /// How much is remembered.
    pub fn remembered(&self) -> Remembered {
        Remembered {
            tenants: self.directory.len(),
            tasks: self.tasks.len(),
            unrouted: self.unrouted.len(),
            held: self.lookups.len(),
        }
    }
}
