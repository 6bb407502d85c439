//! A defect costs one record: whichever stage panics at whichever record, every
//! other record leads to what it leads to without that one, and what is kept is
//! the same; also if the worker dies on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    pin::pin,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::*;
use crate::{
    event::{DeadLetter, MirrorCommand, MirrorResult, MirrorStage, Time},
    flow::{INPUTS, STAGES},
    ports::{Headers, Log, NewRecord},
    testing::{Faults, MemoryLog},
};

/// What is no stage of a draft and can be at work all the same.
const OTHERS: &[&str] = &["normalize", "commands", "act", "directory"];

const START_MS: u64 = 1_795_248_000_000;

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn lines(path: PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a text file");
    let values = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    values.filter(|value| value.get("include").is_none()).collect()
}

/// The inputs of every story of the flow.
fn stories() -> Vec<Value> {
    let folders = std::fs::read_dir(repository("tests/flow")).expect("stories are there");
    let mut paths: Vec<_> = folders.map(|entry| entry.expect("readable").path().join("in.jsonl")).collect();
    paths.retain(|path| path.exists());
    paths.sort();
    paths.into_iter().flat_map(lines).collect()
}

/// The directory of the stories, in which every connection can be written to.
fn directory() -> Vec<Value> {
    let mut rows = lines(repository("tests/flow/squad.jsonl"));
    for row in rows.iter_mut().filter(|row| row["value"]["kind"] == "connection") {
        row["value"]["data"]["sealedToken"] = json!("v1.k.sealed");
    }
    rows
}

/// A value as an input: no two are repeats of each other, and time goes on.
fn input(mut value: Value, number: usize) -> NewRecord {
    let topic = value.get("topic").and_then(Value::as_str).and_then(Topic::from_name);
    if topic.is_none() {
        value["nonce"] = json!(number.to_string());
        value["receivedAt"] = json!(Time::from_ms(START_MS + 1_000 * number as u64));
    } else if value["topic"] == "agents.actions" {
        value["value"]["id"] = json!(format!("act_{number}"));
    } else if value["key"] == "_clock" {
        value["value"]["at"] = json!(Time::from_ms(START_MS + 1_000 * number as u64));
    }
    let (key, value) = match topic {
        Some(_) => (value["key"].as_str().expect("a key"), Some(&value["value"]).filter(|value| !value.is_null())),
        None => (value["tenantId"].as_str().unwrap_or("acme"), Some(&value)),
    };
    NewRecord {
        topic: topic.unwrap_or(Topic::WebhooksRaw),
        partition: 0,
        at_ms: START_MS + 1_000 * number as u64,
        key: key.to_owned().into(),
        value: value.map(|value| value.to_string().into()),
        headers: Headers::default(),
    }
}

/// Inputs in their order, each where the log puts it.
struct Inputs {
    records: Vec<Record>,
    ends: BTreeMap<Topic, u64>,
}

impl Inputs {
    fn push(&mut self, new: NewRecord) -> Record {
        let NewRecord { topic, partition, at_ms, key, value, headers } = new;
        let offset = self.ends.entry(topic).or_default();
        let position = Position { topic, partition, offset: *offset };
        *offset += 1;
        let record = Record { position, at_ms, key, value, headers };
        self.records.push(record.clone());
        record
    }
}

/// Runs values without a fault, and answers each of the mirror's commands with
/// success. The inputs with the answers among them, and what was at work when.
fn rehearse(values: Vec<Value>) -> (Vec<Record>, Vec<(&'static str, Position)>) {
    let faults = Faults::recording();
    let settings = Settings { faults: faults.clone(), ..Settings::default() };
    let mut flow = Flow::new(1, 1, &settings);
    let mut inputs = Inputs { records: Vec::new(), ends: BTreeMap::new() };
    for (number, value) in values.into_iter().enumerate() {
        let mut next = vec![input(value, number)];
        while let Some(new) = next.pop() {
            let record = inputs.push(new);
            let mut outputs = Vec::new();
            flow.on(&record, &mut outputs).expect("no defect");
            for output in outputs.iter().filter(|output| output.topic == Topic::MirrorCommands) {
                let command: MirrorCommand =
                    serde_json::from_slice(output.value.as_deref().expect("a value")).expect("a command");
                let mut result = MirrorResult::of(&command, MirrorStage::Done, command.at);
                let part = json!([{ "id": format!("1795248000.{:06}", inputs.records.len()) }]);
                result.parts = serde_json::from_value(part).expect("parts");
                let value = json!({ "topic": "mirror.results", "key": "acme", "value": result });
                next.push(input(value, number));
            }
        }
    }
    (inputs.records, faults.entered())
}

fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..100).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    })
}

/// Appended one by one: records of one append have no order between topics.
fn append(log: &MemoryLog, records: &[Record]) {
    for Record { position, at_ms, key, value, headers } in records.iter().cloned() {
        let record = NewRecord { topic: position.topic, partition: 0, at_ms, key, value, headers };
        // Not answered while the log holds everything back.
        let _ = poll(log.append(vec![record]));
    }
}

/// A worker's life: it restores, is given one batch after the other, and ends.
fn work(log: &MemoryLog, settings: &Settings, batches: &[&[Record]]) -> Option<Result<(), LogError>> {
    let left = Mutex::new(batches.iter());
    poll(async {
        let mut membership = log.join("workers", INPUTS).await?;
        let mut session = membership.next().await?;
        let is_first = Mutex::new(true);
        let stop = || {
            let is_first = std::mem::take(&mut *is_first.lock().expect("a lock"));
            match left.lock().expect("a lock").next() {
                Some(batch) => append(log, batch),
                None if is_first => {}
                None => return true,
            }
            false
        };
        drive(&mut *session, 1, 1, settings, &Progress::default(), &stop).await
    })
}

/// Everything that was written but state, by topic; and the state that is kept.
type Written = (BTreeMap<Topic, Vec<String>>, BTreeMap<Bytes, Bytes>);

fn written(outputs: impl IntoIterator<Item = (Topic, Bytes, Option<Bytes>, Headers)>) -> Written {
    let (mut topics, mut state) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
    for (topic, key, value, headers) in outputs {
        match (topic, value) {
            (Topic::PipelineState, Some(value)) => drop(state.insert(key, value)),
            (Topic::PipelineState, None) => drop(state.remove(&key)),
            (topic, value) => topics.entry(topic).or_default().push(format!("{key:?} {value:?} {headers:?}")),
        }
    }
    (topics, state)
}

/// What the log holds that was not put there as an input.
fn written_by(log: &MemoryLog, inputs: &[Record]) -> Written {
    let given: BTreeSet<_> = inputs.iter().map(|record| record.position).collect();
    let topics = crate::topics::TOPICS.iter().flat_map(|spec| log.records(spec.topic));
    let made = topics.filter(|record| !given.contains(&record.position));
    written(made.map(|record| (record.position.topic, record.key, record.value, record.headers)))
}

/// The letters of records that were buried for a defect: where each came from.
fn buried(log: &MemoryLog) -> BTreeMap<(String, u64), DeadLetter> {
    let letters = log.records(Topic::DeadLetters).into_iter().filter_map(|record| record.value);
    let letters = letters.map(|value| serde_json::from_slice::<DeadLetter>(&value).expect("a letter"));
    let defects = letters.filter(|letter| letter.reason.starts_with("defect"));
    defects.map(|letter| ((letter.original.topic.clone(), letter.original.offset), letter)).collect()
}

/// A flow in which nothing panics, and the same records are buried.
fn undisturbed(inputs: &[Record], buried: &BTreeMap<(String, u64), DeadLetter>) -> Written {
    let mut flow = Flow::new(1, 1, &Settings::default());
    let mut outputs = Vec::new();
    for record in inputs {
        match buried.get(&(record.position.topic.name().to_owned(), record.position.offset)) {
            None => flow.on(record, &mut outputs).expect("no defect"),
            Some(letter) => {
                let stage = STAGES.iter().map(|stage| stage.name).chain(OTHERS.iter().copied());
                let stage = stage.into_iter().find(|name| *name == letter.stage).expect("a stage");
                flow.bury(record, &Defect { stage, reason: letter.reason.clone() }, &mut outputs);
            }
        }
    }
    flow.flush(inputs.last().expect("an input"), &mut outputs);
    written(outputs.into_iter().map(|output| (output.topic, output.key, output.value, output.headers)))
}

/// An entry of state, but for the number that an item of the mirror was given in
/// its lane: only the order of these is kept, and a restart counts from the
/// highest that it finds.
fn entry(value: &Bytes) -> Value {
    let mut entry: Value = serde_json::from_slice(value).expect("JSON");
    if let Some(item) = entry["data"].as_object_mut().filter(|data| data.contains_key("aim")) {
        item.remove("turn");
    }
    entry
}

/// How a batch is worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// By the worker that had the one before.
    Same,
    /// By a new one.
    Restarted,
    /// By one that dies before anything of it is durable, and by a new one.
    Dies,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_defect_costs_one_record(
        chosen in prop::collection::vec(any::<Index>(), 1..100),
        faults in prop::collection::vec((any::<Index>(), any::<Index>()), 1..5),
        cuts in prop::collection::vec((1..40_usize, prop_oneof![
            3 => Just(Fate::Same), 1 => Just(Fate::Restarted), 1 => Just(Fate::Dies)
        ]), 1..12),
    ) {
        let pool = stories();
        let values = directory().into_iter().chain(chosen.iter().map(|index| index.get(&pool).clone()));
        let (inputs, entered) = rehearse(values.collect());
        // A stage first, so that the rare ones have their share.
        let names: BTreeSet<_> = entered.iter().map(|(name, _)| *name).collect();
        let names: Vec<_> = names.into_iter().collect();
        let faults = faults.iter().map(|(stage, at)| {
            let name = *stage.get(&names);
            let of_stage: Vec<_> = entered.iter().filter(|(known, _)| *known == name).copied().collect();
            *at.get(&of_stage)
        });
        let faults: Vec<_> = faults.collect();
        let settings = Settings { faults: Faults::at(faults.clone()), ..Settings::default() };

        let log = MemoryLog::new(1);
        let (mut rest, mut batches, mut cuts) = (&inputs[..], Vec::new(), cuts.iter().cycle());
        while let Some((records, fate)) = cuts.next().filter(|_| !rest.is_empty()) {
            let (batch, more) = rest.split_at((*records).min(rest.len()));
            batches.push((batch, *fate));
            rest = more;
        }
        while !batches.is_empty() {
            let same = batches[1..].iter().take_while(|(_, fate)| *fate == Fate::Same).count();
            let life: Vec<_> = batches.drain(..=same).collect();
            let records: Vec<_> = life.iter().map(|(batch, _)| *batch).collect();
            if life[0].1 == Fate::Dies {
                records.iter().for_each(|batch| append(&log, batch));
                log.hold();
                prop_assert!(work(&log, &settings, &[]).is_none(), "what is held is not durable");
                log.crash();
                work(&log, &settings, &[]).expect("ends").expect("well");
            } else {
                work(&log, &settings, &records).expect("ends").expect("well");
            }
        }

        let buried = buried(&log);
        for letter in buried.values() {
            let is_chosen = |(name, position): &(&str, Position)| {
                letter.stage == *name
                    && letter.original.topic == position.topic.name()
                    && letter.original.offset == position.offset
            };
            prop_assert!(faults.iter().any(is_chosen), "{}: {}", letter.stage, letter.reason);
        }
        prop_assert!(!buried.is_empty(), "the first of them panics at least");
        let (calm, shaken) = (undisturbed(&inputs, &buried), written_by(&log, &inputs));
        for (topic, outputs) in &calm.0 {
            let known = shaken.0.get(topic).map(Vec::as_slice).unwrap_or_default();
            for (number, (calm, shaken)) in outputs.iter().zip(known).enumerate() {
                prop_assert_eq!(calm, shaken, "{} {}", topic.name(), number);
            }
            prop_assert_eq!(outputs.len(), known.len(), "{}", topic.name());
        }
        prop_assert_eq!(calm.0.keys().collect::<Vec<_>>(), shaken.0.keys().collect::<Vec<_>>());
        for (key, value) in &calm.1 {
            prop_assert_eq!(Some(entry(value)), shaken.1.get(key).map(entry), "{:?}", key);
        }
        prop_assert_eq!(calm.1.len(), shaken.1.len());
    }
}

/// The property means something: every stage is at work in the stories.
#[test]
fn every_stage_is_at_work_in_the_stories() {
    let (_, entered) = rehearse(directory().into_iter().chain(stories()).collect());
    let entered: BTreeSet<_> = entered.into_iter().map(|(name, _)| name).collect();
    for name in STAGES.iter().map(|stage| stage.name).chain(OTHERS.iter().copied()) {
        assert!(entered.contains(name), "nothing comes to {name}");
    }
}

#[test]
fn every_record_of_a_batch_may_be_defective() {
    let (inputs, _) = rehearse(directory());
    let faults = inputs.iter().map(|record| ("directory", record.position)).collect();
    let settings = Settings { faults: Faults::at(faults), ..Settings::default() };
    let log = MemoryLog::new(1);
    work(&log, &settings, &[&inputs]).expect("ends").expect("well");
    assert_eq!(buried(&log).len(), inputs.len());
    assert_eq!(written_by(&log, &inputs), undisturbed(&inputs, &buried(&log)));
}
