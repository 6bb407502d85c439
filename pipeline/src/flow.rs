//! The pipeline, top to bottom.
//!
//! ```text
//! webhooks.raw ──▸ normalize ─▸ deduplicate ─┐
//! commands ──────▸ (moves, re-routes, …) ────┤   ┌─▸ lookups.requests
//! agents.actions ▸ govern ─▸ act ────────────┼─▸ lookup ─▸ enrich ─▸ sift ─▸ track ─▸ route ─▸ mirror ─▸ publish ─▸ events
//! lookups.results ▸ (what was held goes on) ─┤                                          │          └────▸ agents.inbox
//! mirror.results ─▸ (what stands there now) ─┤                                          └─▸ mirror.commands
//! memory.results ─▸ (summaries are events) ──┘                                            ─▸ memory.requests
//! control ───────▸ the directory that enrich looks into
//! presence ──────▸ govern: who fell silent, who is back
//! a tick a second ▸ lets every stage forget what is old, and go on without what did not come
//! ```
//!
//! One [`Flow`] works on one partition. It is a state machine: the same records
//! in the same order give the same outputs with the same ids, whenever and
//! however often they are run. What it cannot process goes to `dead.letters`
//! with the reason, and the next record has its turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use udfs::hash::Parts;

use crate::{
    event::{
        AgentAction, Command, Control, GATEWAY, InboxEntry, LookupResult, MemoryResult, MirrorResult, Presence,
        Severity, StateEntry, Time,
    },
    inputs::{
        actions, commands,
        normalize::{self, Rejected},
    },
    ports::{NewRecord, RECORD_BYTES_MAX, Record},
    stages::{
        deduplicate::{Deduplicate, Seen},
        lookup::{self, Lookup},
        mirror, remember,
        track::Track,
    },
    state::{
        directory,
        governed::{self, Govern},
        mirror::Mirror,
        unrouted::Unrouted,
    },
    topics::{CLOCK, Topic, UNROUTED, partition_of},
    turn::{Draft, Kept, Operator, Turn, Verdict},
};

pub use crate::chain::Chain;

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

/// How far ahead of its own record the time in it may be. A producer whose clock
/// is further off must not drag the partition's clock with it.
const CLOCK_SKEW_MAX_MS: u64 = 60_000;

/// The largest output. Logs add a little of their own to a record.
const OUTPUT_BYTES_MAX: usize = RECORD_BYTES_MAX - 1024;

/// What the operators are set to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The window in which a repeat is known.
    pub deduplicate: Deduplicate,
    /// How long and how much is held for details.
    pub lookup: Lookup,
    /// How many tasks are remembered.
    pub track: Track,
    /// How much is kept that nobody mapped.
    pub unrouted: Unrouted,
    /// How long and how much the mirror waits and remembers.
    pub mirror: Mirror,
    /// What agents may do, and how long they may be silent.
    pub govern: Govern,
}

/// The chain of one partition, with its state.
pub struct Flow {
    identity: u64,
    partitions: u32,
    now_ms: u64,
    deduplicate: Stage<Deduplicate>,
    chain: Chain,
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
            chain: Chain::new(settings),
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
        self.take_back(outputs.drain(before..));
        self.chain.recover();
        self.bury(record, "flow", reason, outputs);
    }

    fn dispatch(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        // The first that this partition hears of time; not from a webhook, which
        // anybody may have produced, and which brings its own.
        if self.now_ms == 0 && record.position.topic != Topic::WebhooksRaw {
            self.now_ms = record.at_ms;
        }
        match record.position.topic {
            Topic::WebhooksRaw => self.on_webhook(record, outputs),
            Topic::Commands => self.on_command(record, outputs),
            Topic::Control => self.on_control(record, outputs),
            Topic::AgentsActions => self.on_action(record, outputs),
            Topic::Presence => self.on_presence(record, outputs),
            Topic::LookupsResults => self.on_found(record, outputs),
            Topic::MirrorResults => self.on_mirrored(record, outputs),
            Topic::MemoryResults => self.on_remembered(record, outputs),
            _ => {}
        }
        self.counts.published = self.chain.published;
    }

    fn on_webhook(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let webhook = match normalize::read(record) {
            Ok(webhook) => webhook,
            Err(Rejected { reason }) => return self.bury(record, normalize::NAME, reason, outputs),
        };
        if partition_of(&webhook.tenant_id, self.partitions) != record.position.partition {
            return self.send_home(record, &webhook.tenant_id, outputs);
        }
        self.tell_time(webhook.received_at, record);

        let mut turn = self.turn(record, outputs);
        self.chain.notices.hear(&webhook, &mut turn);
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
            if let Verdict::Drop(_) = self.deduplicate.on(&mut draft, &mut turn) {
                self.counts.repeats += 1;
                continue;
            }
            self.chain.admit(draft, &mut turn);
        }
    }

    /// The clock goes on to when something came in, and never back.
    fn tell_time(&mut self, at: Time, record: &Record) {
        self.now_ms = self.now_ms.max(at.as_ms().min(record.at_ms.saturating_add(CLOCK_SKEW_MAX_MS)));
    }

    fn on_command(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Some(command) = self.read::<Command>(record, commands::NAME, outputs) else { return };
        let Some((tenant, _)) = command.names() else {
            return self.on_tick(&command, record, outputs);
        };
        if let Some(mut turn) = self.begin(record, tenant, outputs) {
            commands::on(&mut self.chain, command, &mut turn);
        }
    }

    fn on_tick(&mut self, command: &Command, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Command::Tick { at } = command else { return };
        self.now_ms = self.now_ms.max(at.as_ms());
        let mut turn = self.turn(record, outputs);
        self.deduplicate.operator.on_tick(&mut self.deduplicate.state, &mut turn);
        self.chain.on_tick(&mut turn);
    }

    fn on_action(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Some(action) = self.read::<AgentAction>(record, actions::NAME, outputs) else { return };
        // What an agent may do depends on when it did it, to the millisecond.
        self.tell_time(action.at, record);
        let Some(mut turn) = self.begin(record, &action.tenant_id, outputs) else { return };
        let mark = Parts::new().add("action").add(&action.id).finish();
        let deduplicate = &mut self.deduplicate;
        if deduplicate.operator.is_first(&mut deduplicate.state, &action.tenant_id, &[mark], &mut turn) {
            actions::on(&mut self.chain, &action, &mut turn);
        } else {
            self.counts.repeats += 1;
        }
    }

    /// What the gateways say of agents' sockets; what else is there (their own
    /// signs of life, who was cut) is for gateways.
    fn on_presence(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let key = String::from_utf8_lossy(&record.key);
        let mut parts = key.splitn(4, '/');
        let (Some(tenant), Some("agent"), Some(agent), Some(socket)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if agent == GATEWAY || partition_of(tenant, self.partitions) != record.position.partition {
            return;
        }
        let presence = match record.value.is_some() {
            true => match self.read::<Presence>(record, governed::NAME, outputs) {
                None => return,
                some => some,
            },
            false => None,
        };
        let mut turn = self.turn(record, outputs);
        self.chain.on_presence(tenant, agent, socket, presence.as_ref(), &mut turn);
    }

    fn on_found(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Some(result) = self.read::<LookupResult>(record, lookup::NAME, outputs) else { return };
        if let Some(mut turn) = self.begin(record, &result.tenant_id, outputs) {
            self.chain.on_found(&result, &mut turn);
        }
    }

    fn on_mirrored(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Some(result) = self.read::<MirrorResult>(record, mirror::NAME, outputs) else { return };
        if let Some(mut turn) = self.begin(record, &result.tenant_id, outputs) {
            self.chain.on_mirrored(&result, &mut turn);
        }
    }

    fn on_remembered(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let Some(result) = self.read::<MemoryResult>(record, remember::NAME, outputs) else { return };
        if let Some(mut turn) = self.begin(record, result.tenant_id(), outputs) {
            self.chain.on_remembered(&result, &mut turn);
        }
    }

    fn on_control(&mut self, record: &Record, outputs: &mut Vec<NewRecord>) {
        let key = String::from_utf8_lossy(&record.key);
        let mut parts = key.splitn(3, '/');
        let (Some(tenant), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return self.bury(record, directory::NAME, format!("{key:?} is no tenant/kind/id"), outputs);
        };
        let row = match record.value.as_deref().map(serde_json::from_slice::<Control>).transpose() {
            Ok(row) => row.map(|row| row.data),
            Err(error) => return self.bury(record, directory::NAME, error.to_string(), outputs),
        };
        if partition_of(tenant, self.partitions) != record.position.partition {
            return self.bury(record, directory::NAME, "it is in another tenant's partition".to_owned(), outputs);
        }
        let mut turn = self.turn(record, outputs);
        if let Err(reason) = self.chain.on_control(tenant, kind, id, row.as_ref(), &mut turn) {
            self.bury(record, directory::NAME, reason, outputs);
        }
    }

    fn read<T: serde::de::DeserializeOwned>(
        &mut self,
        record: &Record,
        stage: &str,
        outputs: &mut Vec<NewRecord>,
    ) -> Option<T> {
        match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.bury(record, stage, error.to_string(), outputs);
                None
            }
        }
    }

    /// The turn of a tenant's record, if it is where it belongs.
    fn begin<'a>(&mut self, record: &Record, tenant: &str, outputs: &'a mut Vec<NewRecord>) -> Option<Turn<'a>> {
        if partition_of(tenant, self.partitions) != record.position.partition {
            self.send_home(record, tenant, outputs);
            return None;
        }
        Some(self.turn(record, outputs))
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

    /// What agents were told in a turn that does not count is not numbered.
    fn take_back(&mut self, outputs: impl Iterator<Item = NewRecord>) {
        for letter in outputs.filter(|output| output.topic == Topic::AgentsInbox) {
            let entry = letter.value.as_deref().and_then(|value| serde_json::from_slice::<InboxEntry>(value).ok());
            let Some(entry) = entry else { continue };
            for addressee in &entry.to {
                self.chain.seqs.take_back(&entry.tenant_id, &addressee.agent_id, addressee.prev_seq);
            }
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
        } else {
            self.chain.restore(kept);
        }
    }

    /// Keeps the clock, so that a replay tells the same time as the first run,
    /// and what changes too often to be kept each time. Called once before a
    /// commit.
    pub fn keep(&mut self, last: &Record, outputs: &mut Vec<NewRecord>) {
        let mut turn = self.turn(last, outputs);
        turn.keep(CLOCK, CLOCK, "now", Some(&self.now_ms));
        self.chain.keep(&mut turn);
    }

    /// The log's time, as this partition has seen it.
    pub fn now(&self) -> Time {
        Time::from_ms(self.now_ms)
    }

    /// The second half of the chain, and what it remembers.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How many events the partition remembers to know a repeat.
    pub fn remembered(&self) -> &Seen {
        &self.deduplicate.state
    }
}
