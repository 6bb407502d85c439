//! The pipeline, top to bottom.
//!
//! ```text
//! webhooks.raw ─▸ normalize ─▸ deduplicate ─▸ publish ─▸ events
//! commands ─────▸ (a tick a second lets every stage forget what is old)
//! ```
//!
//! One [`Flow`] works on one partition. It is a state machine: the same records
//! in the same order give the same outputs with the same ids, whenever and
//! however often they are run. What it cannot process goes to `dead.letters`
//! with the reason, and the next record has its turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use udfs::hash::Parts;

use crate::{
    event::{Command, Severity, StateEntry, Time},
    operators::{
        Draft, Kept, Operator, Turn, Verdict,
        deduplicate::{Deduplicate, Seen},
        normalize::{self, Rejected},
        publish::Publish,
    },
    ports::{NewRecord, RECORD_BYTES_MAX, Record},
    topics::{CLOCK, Topic, UNROUTED, partition_of},
};

/// The topics that the pipeline reads, in the order in which a log that has no
/// order of its own between topics offers them.
pub const INPUTS: &[Topic] = &[Topic::Commands, Topic::WebhooksRaw];

/// How far ahead of its own record a `receivedAt` may be. A producer whose
/// clock is further off must not drag the partition's clock with it.
const CLOCK_SKEW_MAX_MS: u64 = 60_000;

/// The largest output. Logs add a little of their own to a record.
const OUTPUT_BYTES_MAX: usize = RECORD_BYTES_MAX - 1024;

/// What the operators are set to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The window in which a repeat is known.
    pub deduplicate: Deduplicate,
}

/// The chain of one partition, with its state.
pub struct Flow {
    identity: u64,
    partitions: u32,
    now_ms: u64,
    deduplicate: Stage<Deduplicate>,
    publish: Stage<Publish>,
    /// What happened so far, for metrics.
    pub counts: Counts,
}

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

struct Stage<O: Operator> {
    operator: O,
    state: O::State,
}

impl<O: Operator> Stage<O> {
    fn new(operator: O) -> Self {
        Stage { operator, state: O::State::default() }
    }

    fn on(&mut self, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
        self.operator.on(&mut self.state, draft, turn)
    }
}

impl Flow {
    /// A chain that remembers nothing yet.
    pub fn new(identity: u64, partitions: u32, settings: &Settings) -> Self {
        Flow {
            identity,
            partitions,
            now_ms: 0,
            deduplicate: Stage::new(settings.deduplicate.clone()),
            publish: Stage::new(Publish),
            counts: Counts::default(),
        }
    }

    /// One record's turn. Everything it leads to is added to `outputs`.
    pub fn on(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        self.counts.records += 1;
        let before = outputs.len();
        // A defect in an operator must cost one record, not the partition. The
        // half of a turn that ran before the panic is taken back.
        let reason = match catch_unwind(AssertUnwindSafe(|| self.dispatch(record, outputs))) {
            Ok(()) => match outputs[before..].iter().map(NewRecord::bytes).find(|bytes| *bytes > OUTPUT_BYTES_MAX) {
                // Such a batch could never be committed, however often it is tried.
                Some(bytes) => format!("what becomes of it has {bytes} bytes, more than a log takes"),
                None => return,
            },
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
                format!("defect: {text}")
            }
        };
        outputs.truncate(before);
        self.bury(record, "flow", reason, outputs);
    }

    fn dispatch(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        match record.position.topic {
            Topic::WebhooksRaw => self.on_webhook(record, outputs),
            Topic::Commands => self.on_command(record, outputs),
            _ => {}
        }
    }

    fn on_webhook(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let webhook = match normalize::read(record) {
            Ok(webhook) => webhook,
            Err(Rejected { reason }) => return self.bury(record, normalize::NAME, reason, outputs),
        };
        if partition_of(&webhook.tenant_id, self.partitions) != record.position.partition {
            return self.send_home(record, &webhook.tenant_id, outputs);
        }
        let received_ms = webhook.received_at.as_ms().min(record.at_ms.saturating_add(CLOCK_SKEW_MAX_MS));
        self.now_ms = self.now_ms.max(received_ms);

        let mut turn = self.turn(record, outputs);
        let drafts = match normalize::on(&webhook, &turn) {
            Ok(drafts) => drafts,
            Err(Rejected { reason }) => return self.bury(record, normalize::NAME, reason, outputs),
        };
        self.counts.twins += u64::from(drafts.is_empty());
        let is_unrouted = webhook.tenant_id == UNROUTED;
        if is_unrouted && !drafts.is_empty() {
            let sender = format!("{}:{}", webhook.provider, webhook.sender_id.as_deref().unwrap_or("?"));
            // Once per sender and window, however much it sends.
            let mark = Parts::new().add("connection.unknown").add(&sender).finish();
            if self.deduplicate.operator.is_first(&mut self.deduplicate.state, UNROUTED, &[mark], &mut turn) {
                let message = format!("no connection knows {sender}; its events are kept as {UNROUTED}");
                turn.alert("connection.unknown", Severity::Warning, UNROUTED, &sender, message);
            }
        }
        for mut draft in drafts {
            draft.event.unrouted = is_unrouted;
            if let Verdict::Drop(_) = self.deduplicate.on(&mut draft, &mut turn) {
                self.counts.repeats += 1;
                continue;
            }
            self.publish.on(&mut draft, &mut turn);
            self.counts.published += 1;
        }
    }

    fn on_command(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let value = record.value.as_deref().unwrap_or_default();
        let command = match serde_json::from_slice::<Command>(value) {
            Ok(command) => command,
            Err(error) => return self.bury(record, "commands", error.to_string(), outputs),
        };
        if let Command::Tick { at } = command {
            self.now_ms = self.now_ms.max(at.as_ms());
            let mut turn = self.turn(record, outputs);
            self.deduplicate.operator.on_tick(&mut self.deduplicate.state, &mut turn);
        }
    }

    /// A record that an outside producer keyed or placed otherwise is appended
    /// again where its tenant's records belong; this copy goes no further.
    fn send_home(&mut self, record: &Record, tenant: &str, outputs: &mut Vec<NewRecord>) {
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

    fn bury(&mut self, record: &Record, stage: &str, reason: String, outputs: &mut Vec<NewRecord>) {
        self.counts.dead += 1;
        self.turn(record, outputs).bury(record, stage, reason);
    }

    fn turn<'a>(&self, record: &Record, outputs: &'a mut Vec<NewRecord>) -> Turn<'a> {
        Turn {
            now_ms: self.now_ms,
            source: record.position,
            identity: self.identity,
            partitions: self.partitions,
            outputs,
        }
    }

    /// Takes up one record of `pipeline.state` that an earlier run kept.
    pub fn restore(&mut self, record: &Record) {
        let Ok(key) = std::str::from_utf8(&record.key) else { return };
        let mut parts = key.splitn(3, '/');
        let (Some(tenant), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return };
        let entry = record.value.as_deref().and_then(|value| serde_json::from_slice::<StateEntry>(value).ok());
        let kept = Kept { tenant, kind, id, data: entry.as_ref().map(|entry| &entry.data) };
        if kind == CLOCK {
            self.now_ms = kept.data.and_then(serde_json::Value::as_u64).unwrap_or_default();
        } else if Deduplicate::KINDS.contains(&kind) {
            self.deduplicate.operator.restore(&mut self.deduplicate.state, kept);
        }
    }

    /// Keeps the clock, so that a replay tells the same time as the first run.
    /// Called once before a commit.
    pub fn keep_clock(&self, last: &Record, outputs: &mut Vec<NewRecord>) {
        self.turn(last, outputs).keep(CLOCK, CLOCK, "now", Some(&self.now_ms));
    }

    /// The log's time, as this partition has seen it.
    pub fn now(&self) -> Time {
        Time::from_ms(self.now_ms)
    }

    /// How many events the partition remembers to know a repeat.
    pub fn remembered(&self) -> &Seen {
        &self.deduplicate.state
    }
}
