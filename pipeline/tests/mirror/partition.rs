//! One partition over a log in memory: a crash loses what was not committed,
//! and what was read since is read again.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use pipeline::{
    event::MirrorCommand,
    flow::{Flow, Settings},
    ports::{Headers, NewRecord, Position, Record},
    topics::Topic,
};
use serde_json::Value;

pub struct Partition {
    settings: Settings,
    flow: Flow,
    inputs: Vec<Record>,
    ends: HashMap<Topic, u64>,
    read: usize,
    committed: usize,
    uncommitted: Vec<NewRecord>,
    state: BTreeMap<Bytes, (u64, Record)>,
    kept: u64,
    /// What was committed.
    pub commands: Vec<MirrorCommand>,
    pub events: Vec<Value>,
    pub alerts: Vec<Value>,
    pub dead: Vec<Value>,
    pub lookups: Vec<Value>,
}

impl Partition {
    pub fn new() -> Self {
        Partition::of(Settings::default())
    }

    pub fn of(settings: Settings) -> Self {
        Partition {
            flow: Flow::new(7, 1, &settings),
            settings,
            inputs: Vec::new(),
            ends: HashMap::new(),
            read: 0,
            committed: 0,
            uncommitted: Vec::new(),
            state: BTreeMap::new(),
            kept: 0,
            commands: Vec::new(),
            events: Vec::new(),
            alerts: Vec::new(),
            dead: Vec::new(),
            lookups: Vec::new(),
        }
    }

    /// Durable at once.
    pub fn append(&mut self, topic: Topic, key: &str, value: &Value, at_ms: u64) {
        let end = self.ends.entry(topic).or_default();
        self.inputs.push(Record {
            position: Position { topic, partition: 0, offset: *end },
            at_ms,
            key: key.to_owned().into(),
            value: Some(serde_json::to_vec(value).expect("JSON").into()),
            headers: Headers::default(),
        });
        *end += 1;
    }

    /// Whether there is something to read or to commit.
    pub fn is_behind(&self) -> bool {
        self.committed < self.inputs.len()
    }

    pub fn work(&mut self, records_max: usize) {
        for record in self.inputs[self.read..].iter().take(records_max) {
            self.flow.on(record, &mut self.uncommitted).expect("no defect");
            self.read += 1;
        }
    }

    pub fn commit(&mut self) {
        let Some(last) = self.read.checked_sub(1).filter(|_| self.read > self.committed) else { return };
        self.flow.flush(&self.inputs[last], &mut self.uncommitted);
        self.committed = self.read;
        for output in self.uncommitted.drain(..) {
            let value = || serde_json::from_slice::<Value>(output.value.as_deref().expect("a value")).expect("JSON");
            match output.topic {
                Topic::PipelineState => {
                    self.kept += 1;
                    let position = Position { topic: Topic::PipelineState, partition: 0, offset: self.kept };
                    let NewRecord { at_ms, key, value, headers, .. } = output;
                    self.state.remove(&key);
                    if value.is_some() {
                        let record = Record { position, at_ms, key: key.clone(), value, headers };
                        self.state.insert(key, (self.kept, record));
                    }
                }
                Topic::MirrorCommands => {
                    self.commands.push(serde_json::from_value(value()).expect("a command"));
                }
                Topic::Events => self.events.push(value()),
                Topic::Alerts => self.alerts.push(value()),
                Topic::DeadLetters => self.dead.push(value()),
                Topic::LookupsRequests => self.lookups.push(value()),
                _ => {}
            }
        }
    }

    pub fn crash(&mut self) {
        self.uncommitted.clear();
        self.read = self.committed;
        self.flow = Flow::new(7, 1, &self.settings);
        let mut kept: Vec<_> = self.state.values().collect();
        kept.sort_by_key(|(order, _)| *order);
        for (_, record) in kept {
            self.flow.restore(record);
        }
    }

    /// What happened, for whoever looks for the reason.
    pub fn tell(&self) {
        for record in self.inputs.iter().filter(|record| record.position.topic != Topic::Commands) {
            let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).replace("\\\"", "'");
            println!("{:>7} < {} {text}", record.at_ms - super::START_MS, record.position.topic.name());
        }
        for command in &self.commands {
            let work = serde_json::to_string(&command.work).expect("JSON");
            println!("{:>7} > {} {} {work}", command.at.as_ms() - super::START_MS, command.id, command.lane);
        }
        for event in &self.events {
            println!("event {event}");
        }
    }

    /// What a partition makes of the same inputs that never crashes.
    pub fn undisturbed(&self) -> Partition {
        let mut other = Partition::new();
        other.inputs.clone_from(&self.inputs);
        other.work(usize::MAX);
        other.commit();
        other
    }

    /// What is kept under a key.
    pub fn state_of(&self, key: &str) -> Option<Value> {
        let (_, record) = self.state.get(key.as_bytes())?;
        serde_json::from_slice::<Value>(record.value.as_deref()?).ok().map(|mut entry| entry["data"].take())
    }

    /// The state that is kept of a task.
    pub fn task_state(&self, external_id: &str) -> Option<String> {
        let tasks = self.state.iter().filter(|(key, _)| key.starts_with(b"acme/task/"));
        let rows = tasks.filter_map(|(_, (_, record))| serde_json::from_slice::<Value>(record.value.as_deref()?).ok());
        let mut rows = rows.filter(|row| row["data"]["externalId"] == external_id);
        rows.next().and_then(|row| row["data"]["state"].as_str().map(str::to_owned))
    }

    /// What the mirror knows, still has to do, and holds.
    pub fn mirrored(&self) -> (usize, usize, usize) {
        self.flow.remembered().mirrored
    }
}
