//! One partition at work: its state, its clock, and the stages that a draft
//! passes (the list is [`flow::STAGES`](crate::flow::STAGES)).
//!
//! In: drafts, from [`inputs`](crate::inputs). Out: what the stages write. A
//! draft that a stage lets go on takes the rest of the way before the one that
//! caused it; what the mirror has to do next is decided when a draft has arrived.

use crate::{
    draft::Draft,
    event::Time,
    ports::{NewRecord, Record},
    settings::Settings,
    stages::{Stage, Verdict, enrich, lookup, mirror},
    state::{PartitionState, StoredEntry},
    topics::{CLOCK, partition_of},
    turn::Turn,
};

/// How far ahead of its own record the time in it may be. A producer whose clock
/// is further off must not drag the partition's clock with it.
const CLOCK_SKEW_MAX_MS: u64 = 60_000;

/// What a flow has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read.
    pub records: u64,
    /// Events published.
    pub published: u64,
    /// Drafts dropped as repeats.
    pub repeats: u64,
    /// Events that a provider sends beside another that says the same.
    pub twins: u64,
    /// Records put into `dead.letters`.
    pub dead: u64,
    /// Records that an outside producer had put into another tenant's partition.
    pub moved: u64,
}

/// See the module.
pub struct Chain {
    /// What the partition remembers.
    pub state: PartitionState,
    /// What happened so far, for metrics.
    pub counts: Counts,
    stages: &'static [Stage],
    lookup: usize,
    enrich: usize,
    /// The input or stage that is at work, to name it should it panic.
    at: &'static str,
    identity: u64,
    partitions: u32,
    now_ms: u64,
    is_settling: bool,
    /// Makes stages panic, in tests only.
    #[cfg(test)]
    faults: crate::testing::Faults,
}

impl Chain {
    /// A chain of these stages that remembers nothing yet.
    pub fn new(identity: u64, partitions: u32, settings: &Settings, stages: &'static [Stage]) -> Self {
        let position = |stage: &Stage| stages.iter().position(|known| known.name == stage.name).unwrap_or_default();
        Chain {
            state: PartitionState::new(settings),
            counts: Counts::default(),
            stages,
            lookup: position(&lookup::STAGE),
            enrich: position(&enrich::STAGE),
            at: "",
            identity,
            partitions,
            now_ms: 0,
            is_settling: false,
            #[cfg(test)]
            faults: settings.faults.clone(),
        }
    }

    /// Lets a new draft in at the first stage.
    pub fn admit(&mut self, draft: Draft, turn: &mut Turn<'_>) {
        self.pass(draft, 0, turn);
    }

    /// Lets a draft in that is no repeat, whatever was published before.
    pub fn readmit(&mut self, draft: Draft, turn: &mut Turn<'_>) {
        self.pass(draft, self.lookup, turn);
    }

    /// Lets a draft in that lacks no details: one of the hub's own, or one that
    /// was held.
    pub fn onward(&mut self, draft: Draft, turn: &mut Turn<'_>) {
        self.pass(draft, self.enrich, turn);
    }

    fn pass(&mut self, mut draft: Draft, from: usize, turn: &mut Turn<'_>) {
        let before = self.at;
        for stage in &self.stages[from..] {
            self.enter(stage.name, turn);
            let verdict = (stage.on)(&mut self.state, &mut draft, turn);
            self.resume(turn);
            match verdict {
                Verdict::Pass => {}
                Verdict::Repeat => {
                    self.counts.repeats += 1;
                    self.at = before;
                    return;
                }
                Verdict::Held => {
                    self.at = before;
                    return;
                }
            }
        }
        self.counts.published += 1;
        self.settle(turn);
        self.at = before;
    }

    /// What a stage has let go on takes the rest of the way.
    fn resume(&mut self, turn: &mut Turn<'_>) {
        if self.state.resumed.is_empty() {
            return;
        }
        // Taken at once: the first of them comes by here, too.
        for resumed in std::mem::take(&mut self.state.resumed) {
            self.onward(Draft::resumed(resumed), turn);
        }
    }

    /// Decides what the mirror does next. That lets go on what was held, which
    /// may give it more to do: until nothing changes any more.
    pub fn settle(&mut self, turn: &mut Turn<'_>) {
        // A draft that goes on from here comes by here again.
        if std::mem::replace(&mut self.is_settling, true) {
            return;
        }
        loop {
            self.enter(mirror::STAGE.name, turn);
            let released = mirror::issue_next(&mut self.state, turn);
            if released.is_empty() {
                break;
            }
            for resumed in released {
                self.onward(Draft::resumed(resumed), turn);
            }
        }
        self.is_settling = false;
    }

    /// Time has passed: what waited long enough goes on, what is too old is
    /// forgotten.
    pub fn on_tick(&mut self, turn: &mut Turn<'_>) {
        for stage in self.stages {
            let Some(on_tick) = stage.on_tick else { continue };
            self.enter(stage.name, turn);
            on_tick(&mut self.state, turn);
            self.resume(turn);
        }
        self.settle(turn);
        for stateful in self.state.all() {
            stateful.on_tick(turn);
        }
    }

    /// Notes which stage or input is at work from here on.
    #[inline]
    pub fn enter(&mut self, name: &'static str, _turn: &Turn<'_>) {
        self.at = name;
        #[cfg(test)]
        self.faults.check(name, _turn.source);
    }

    /// The stage or input that is at work.
    pub fn at(&self) -> &'static str {
        self.at
    }

    /// The log's time, as this partition has seen it.
    pub fn now(&self) -> Time {
        Time::from_ms(self.now_ms)
    }

    /// The clock goes on to the time of something that came in, and never back.
    pub fn tell_time(&mut self, at: Time, record: &Record) {
        self.now_ms = self.now_ms.max(at.as_ms().min(record.at_ms.saturating_add(CLOCK_SKEW_MAX_MS)));
    }

    /// The clock goes on to a tick's time.
    pub fn tick_to(&mut self, at: Time) {
        self.now_ms = self.now_ms.max(at.as_ms());
    }

    /// The first that this partition hears of time.
    pub fn start_clock(&mut self, at_ms: u64) {
        if self.now_ms == 0 {
            self.now_ms = at_ms;
        }
    }

    /// Whether a tenant's records belong to this partition.
    pub fn owns(&self, tenant: &str, record: &Record) -> bool {
        partition_of(tenant, self.partitions) == record.position.partition
    }

    /// A record's turn.
    pub fn turn<'a>(&self, record: &Record, outputs: &'a mut Vec<NewRecord>) -> Turn<'a> {
        Turn {
            now_ms: self.now_ms,
            source: record.position,
            identity: self.identity,
            partitions: self.partitions,
            outputs,
        }
    }

    /// A record that an outside producer keyed or placed otherwise is appended
    /// again where its tenant's records belong; this copy goes no further.
    pub fn send_home(&mut self, record: &Record, tenant: &str, outputs: &mut Vec<NewRecord>) {
        self.counts.moved += 1;
        outputs.push(NewRecord {
            topic: record.position.topic,
            partition: partition_of(tenant, self.partitions),
            at_ms: record.at_ms,
            key: tenant.to_owned().into(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        });
    }

    /// Puts a record away that cannot be processed.
    pub fn bury(&mut self, record: &Record, stage: &str, reason: &str, outputs: &mut Vec<NewRecord>) {
        self.counts.dead += 1;
        self.turn(record, outputs).bury(record, stage, reason);
    }

    /// Takes up one entry that an earlier run kept.
    pub fn restore(&mut self, entry: StoredEntry<'_>) {
        if entry.key.kind == CLOCK {
            self.now_ms = entry.data.and_then(serde_json::Value::as_u64).unwrap_or_default();
        } else {
            self.state.restore(entry);
        }
    }

    /// Keeps the clock, so that a replay tells the same time as the first run,
    /// and what changes too often to be kept each time.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        turn.keep(CLOCK, CLOCK, "now", Some(&self.now_ms));
        for stateful in self.state.all() {
            stateful.flush(turn);
        }
    }
}
