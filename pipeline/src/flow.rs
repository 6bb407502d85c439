//! The pipeline, top to bottom.
//!
//! ```text
//!  webhooks.raw ─────▸ normalize ─▸ deduplicate ─┐ the first of each mark
//!                                   lookup ◂─────┘ or held for its details    ─▸ lookups.requests
//!  commands ─────────▸┐             enrich           place, author, whom it calls
//!  agents.actions ───▸┤ (governed)  detect_echo      ours? or held until that is clear
//!  lookups.results ──▸┼───────────▸ track            the task that it is about
//!  mirror.results ───▸┤             govern           what agents did there counts no more
//!  memory.results ───▸┘             route            which agents are told
//!                                   ask_list         what became of a list      ─▸ lookups.requests
//!                                   propose          what could be mapped
//!                                   note             what is over
//!                                   mirror           what is wanted elsewhere   ─▸ mirror.commands
//!                                   remember         what is to be remembered   ─▸ memory.requests
//!                                   publish          the event, and the letters ─▸ events, agents.inbox
//!                                   shelve           what nobody mapped
//!
//!  control ──────────▸ the directory that the stages look into
//!  presence ─────────▸ who fell silent, who is back
//!  commands ─────────▸ a tick a second: what waited long enough goes on
//!
//!  every input ──────▸ pipeline.state, alerts, dead.letters
//!  commands ─────────▸ commands.results
//!  agents.actions ───▸ audit, presence (who is cut)
//! ```
//!
//! One [`Flow`] works on one partition. It is a state machine: the same records
//! in the same order give the same outputs with the same ids, whenever and
//! however often they are run. What it cannot process goes to `dead.letters`
//! with the reason, and the next record has its turn.
//!
//! What comes from one topic is read in one file of [`inputs`]. A draft passes
//! the [`STAGES`] in their order, all with one signature. Whatever outlives a
//! record is in [`state`](crate::state).

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    chain::Chain,
    event::{StateEntry, TenantKey, Time},
    inputs,
    ports::{NewRecord, RECORD_BYTES_MAX, Record},
    stages::{
        Stage, ask_list, deduplicate, detect_echo, enrich, govern, lookup, mirror, note, propose, publish, remember,
        route, shelve, track,
    },
    state::{StateCounts, StoredEntry},
    topics::Topic,
};

pub use crate::{chain::Counts, settings::Settings};

/// The topics that the pipeline reads, in the order in which a log that has no
/// order of its own between topics offers them.
pub const INPUTS: &[Topic] = &[
    Topic::Control,
    Topic::LookupsResults,
    Topic::MirrorResults,
    Topic::MemoryResults,
    Topic::Commands,
    Topic::Presence,
    Topic::AgentsActions,
    Topic::WebhooksRaw,
];

/// The topics that the pipeline writes.
pub const OUTPUTS: &[Topic] = &[
    Topic::Events,
    Topic::AgentsInbox,
    Topic::CommandsResults,
    Topic::LookupsRequests,
    Topic::MirrorCommands,
    Topic::MemoryRequests,
    Topic::Alerts,
    Topic::Audit,
    Topic::Presence,
    Topic::DeadLetters,
    Topic::PipelineState,
];

/// THE list of stages, in the order in which a draft passes them.
pub const STAGES: &[Stage] = &[
    deduplicate::STAGE,
    lookup::STAGE,
    enrich::STAGE,
    detect_echo::STAGE,
    track::STAGE,
    govern::STAGE,
    route::STAGE,
    ask_list::STAGE,
    propose::STAGE,
    note::STAGE,
    mirror::STAGE,
    remember::STAGE,
    publish::STAGE,
    shelve::STAGE,
];

/// The largest output. Logs add a little of their own to a record.
const OUTPUT_BYTES_MAX: usize = RECORD_BYTES_MAX - 1024;

/// One partition's chain.
pub struct Flow {
    chain: Chain,
}

/// A record that cannot be processed for a fault of ours. What the flow
/// remembers is in doubt from then on: it is to be made anew of what was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct Defect {
    /// The stage or input that was at work.
    pub stage: &'static str,
    /// What went wrong.
    pub reason: String,
}

impl Flow {
    /// A chain that remembers nothing yet.
    pub fn new(identity: u64, partitions: u32, settings: &Settings) -> Self {
        Flow { chain: Chain::new(identity, partitions, settings, STAGES) }
    }

    /// One record's turn. Everything it leads to is added to `outputs`. After a
    /// defect nothing is added, and the flow is of no more use.
    pub fn on(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) -> Result<(), Defect> {
        let before = outputs.len();
        let done = match catch_unwind(AssertUnwindSafe(|| self.dispatch(record, outputs))) {
            Ok(()) => match outputs[before..].iter().map(NewRecord::bytes).find(|bytes| *bytes > OUTPUT_BYTES_MAX) {
                // Such a batch could never be committed, however often it is tried.
                Some(bytes) => Err(Defect {
                    stage: "flow",
                    reason: format!("what becomes of it has {bytes} bytes, more than a log takes"),
                }),
                None => Ok(()),
            },
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
                Err(Defect { stage: self.chain.at(), reason: format!("defect: {text}") })
            }
        };
        if done.is_err() {
            outputs.truncate(before);
        }
        done
    }

    fn dispatch(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let chain = &mut self.chain;
        chain.counts.records += 1;
        // Not from a webhook, which anybody may have produced, and which brings
        // its own time.
        if record.position.topic != Topic::WebhooksRaw {
            chain.start_clock(record.at_ms);
        }
        match record.position.topic {
            Topic::WebhooksRaw => inputs::webhooks::on(chain, record, outputs),
            Topic::Commands => inputs::commands::on(chain, record, outputs),
            Topic::Control => inputs::control::on(chain, record, outputs),
            Topic::AgentsActions => inputs::actions::on(chain, record, outputs),
            Topic::Presence => inputs::presence::on(chain, record, outputs),
            Topic::LookupsResults => inputs::lookups::on(chain, record, outputs),
            Topic::MirrorResults => inputs::mirror::on(chain, record, outputs),
            Topic::MemoryResults => inputs::memory::on(chain, record, outputs),
            _ => {}
        }
    }

    /// Puts a record into `dead.letters` that was found to be defective in an
    /// earlier run of the batch.
    pub fn bury(&mut self, record: &Record, defect: &Defect, outputs: &mut Vec<NewRecord>) {
        self.chain.counts.records += 1;
        self.chain.start_clock(record.at_ms);
        self.chain.bury(record, defect.stage, &defect.reason, outputs);
    }

    /// Takes up one record of `pipeline.state` that an earlier run kept.
    pub fn restore(&mut self, record: &Record) {
        let Some(key) = TenantKey::parse(&record.key) else { return };
        let entry = record.value.as_deref().and_then(|value| serde_json::from_slice::<StateEntry>(value).ok());
        self.chain.restore(StoredEntry { key, data: entry.as_ref().map(|entry| &entry.data) });
    }

    /// Writes what is not written each time it changes. Called once before a
    /// commit.
    pub fn flush(&mut self, last: &Record, outputs: &mut Vec<NewRecord>) {
        let mut turn = self.chain.turn(last, outputs);
        self.chain.flush(&mut turn);
    }

    /// The log's time, as this partition has seen it.
    pub fn now(&self) -> Time {
        self.chain.now()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.chain.counts
    }

    /// Goes on counting from here.
    pub fn count_from(&mut self, counts: Counts) {
        self.chain.counts = counts;
    }

    /// How much is remembered.
    pub fn remembered(&self) -> StateCounts {
        self.chain.state.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::TOPICS;

    /// The words of the diagram that are names.
    fn diagram() -> Vec<&'static str> {
        let page = include_str!("flow.rs");
        let drawn = page.split("```").nth(1).expect("a diagram");
        drawn.split(|c: char| !(c.is_alphanumeric() || "._".contains(c))).filter(|word| !word.is_empty()).collect()
    }

    /// The first lines, up to the empty one: the way of a draft.
    #[test]
    fn the_diagram_shows_the_stages_in_their_order() {
        let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        let page = include_str!("flow.rs");
        let drawn = page.split("```").nth(1).expect("a diagram");
        let way = drawn.split("//!\n").next().expect("the way of a draft");
        // The stages stand in one column, under the first of them.
        let column = way.lines().find_map(|line| line.find("deduplicate").map(|at| line[..at].chars().count()));
        let column = column.expect("the first stage");
        let in_column = way.lines().filter_map(|line| {
            let rest: String = line.chars().skip(column).collect();
            let is_begun = line.chars().nth(column - 1) == Some(' ') && !rest.starts_with(' ');
            rest.split(' ').next().filter(|_| is_begun).map(str::to_owned)
        });
        assert_eq!(in_column.filter(|word| !word.is_empty()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn the_diagram_shows_every_topic_and_no_other() {
        let words = diagram();
        let mut shown: Vec<_> = words.iter().filter_map(|word| Topic::from_name(word)).collect();
        let mut known: Vec<_> = INPUTS.iter().chain(OUTPUTS).copied().collect();
        for topics in [&mut shown, &mut known] {
            topics.sort_unstable();
            topics.dedup();
        }
        assert_eq!(shown, known);
        let neither = TOPICS.iter().filter(|spec| !known.contains(&spec.topic)).map(|spec| spec.name);
        assert_eq!(neither.collect::<Vec<_>>(), ["agents.cursors"], "the gateways' own");
    }

    #[test]
    fn no_two_stages_share_a_name() {
        let mut names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
    }
}
