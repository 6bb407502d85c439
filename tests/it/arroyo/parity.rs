//! The windows of the pipeline's own operators beside those of the real engine,
//! over the same inputs: its inputs and answers lie beside the payloads that
//! `NEXUS_FIXTURES` names. And beside a naive model of its windows, over logs that
//! the flow itself writes here, so that this holds without that folder too.
//!
//! The rules of both: a window is `[start, end)` and aligned to the epoch; a hop
//! gives one result a slide. The operators' windows end at the newest record and
//! not at a slide; looked at in the last millisecond of a slide they are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use pipeline::{
    flow::{Flow, Settings},
    governance::window::{Counted, EveryNth, Sliding, Sum, Times, Tumbling},
    governance::{Detector, Identical, Level, MessageRate, Rated, Repeats, SpokenMessage},
    ports::{Headers, NewRecord, Position, Record},
    topics::Topic,
};
use serde_json::{Value, json};
use udfs::similar::content_hash;

use super::repository;

/// The folder of inputs and answers, if it is there.
pub fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("NEXUS_FIXTURES").ok()?).parent()?.join("arroyo");
    let is_there = folder.is_dir();
    if !is_there {
        eprintln!("there are no answers of the real engine here");
    }
    is_there.then_some(folder)
}

fn lines(folder: &std::path::Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A time as inputs or answers write it.
fn ms(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    let text = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    u64::try_from(udfs::time::from_rfc3339(&text).unwrap()).unwrap()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What happened: to whom, when; in the order of time.
type Happened = Vec<(String, u64)>;

fn happened(rows: &[Value], whom: &str, when: &str) -> Happened {
    let mut happened: Happened = rows.iter().map(|row| (word(&row[whom]), ms(&row[when]))).collect();
    happened.sort_by_key(|(_, at)| *at);
    happened
}

/// How many happened to each in each window, by its end: counted by the model,
/// which looks at everything for every window.
fn modelled(happened: &Happened, slide_ms: u64, width_ms: u64) -> BTreeMap<(u64, String), u64> {
    let mut windows = BTreeMap::new();
    for (whom, at) in happened {
        let mut end = at - at % slide_ms + slide_ms;
        while end - width_ms <= *at {
            *windows.entry((end, whom.clone())).or_default() += 1;
            end += slide_ms;
        }
    }
    windows
}

/// The same as the operators count it: each one's sliding window, looked at in the
/// last millisecond of every slide.
pub fn operated(happened: &Happened, slide_ms: u64, width_ms: u64) -> BTreeMap<(u64, String), u64> {
    let rule = Sliding { limit: u32::MAX, window_ms: width_ms };
    let mut windows = BTreeMap::new();
    let mut states: BTreeMap<&String, Times> = BTreeMap::new();
    let (Some(first), Some(last)) = (happened.first(), happened.last()) else { return windows };
    let mut next = happened.iter().peekable();
    let mut end = first.1 - first.1 % slide_ms + slide_ms;
    while end < last.1 + width_ms + slide_ms {
        while let Some((whom, at)) = next.next_if(|(_, at)| *at < end) {
            rule.take(states.entry(whom).or_default(), *at);
        }
        for (whom, state) in &states {
            let held = rule.held(state, end - 1);
            if held > 0 {
                windows.insert((end, (*whom).clone()), held as u64);
            }
        }
        end += slide_ms;
    }
    windows
}

/// Windows that follow each other, as the operators sum them.
pub fn tumbled(happened: &Happened, width_ms: u64) -> BTreeMap<(u64, String), u64> {
    let rule = Tumbling { window_ms: width_ms };
    let mut sums: BTreeMap<&String, Sum> = BTreeMap::new();
    let mut closed = BTreeMap::new();
    for (whom, at) in happened {
        if let Some(sum) = rule.add(sums.entry(whom).or_default(), *at, 1) {
            closed.insert((sum.since_ms + width_ms, whom.clone()), sum.sum);
        }
    }
    for (whom, mut open) in sums {
        if let Some(sum) = rule.expires_at(&open).and_then(|end| rule.close(&mut open, end)) {
            closed.insert((sum.since_ms + width_ms, whom.clone()), sum.sum);
        }
    }
    closed
}

const MINUTE_MS: u64 = 60_000;

#[test]
fn the_rate_of_an_agent_is_that_of_the_real_engine() {
    let Some(folder) = folder() else { return };
    let said = happened(&lines(&folder, "in/agent_messages.json"), "agent_id", "sent_at");
    let theirs: BTreeMap<_, _> = lines(&folder, "out/a_agent_rate.alerts.json")
        .iter()
        .map(|row| ((ms(&row["window_end"]), word(&row["key"])), row["n"].as_u64().unwrap()))
        .collect();
    let mut ours = operated(&said, 10_000, MINUTE_MS);
    assert_eq!(ours, modelled(&said, 10_000, MINUTE_MS));
    ours.retain(|_, n| *n > 10);
    assert_eq!(ours, theirs);
    // The limiter looks at every message instead of every slide: it finds whoever
    // the windows find, at the eleventh message already.
    let rule = MessageRate { level: Level::Alert, ..MessageRate::default() };
    let mut states: BTreeMap<&String, Rated> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (agent, at) in &said {
        let decision = rule.on(states.entry(agent).or_default(), &SpokenMessage::new(agent, None, "x"), *at);
        if decision.found {
            found.entry(agent).or_insert(*at);
        }
    }
    let told: BTreeSet<_> = theirs.keys().map(|(_, agent)| agent).collect();
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), told);
    for (agent, at) in found {
        let first_end = theirs.keys().filter(|(_, of)| of == agent).map(|(end, _)| *end).min().unwrap();
        assert!(at < first_end, "before the window's result, which comes at its end");
    }
}

#[test]
fn repeats_are_those_of_the_real_engine() {
    let Some(folder) = folder() else { return };
    // Its hash left case aside and ours does not; so the case goes first.
    let rows = lines(&folder, "in/agent_messages.json");
    let mut said: Vec<_> = rows
        .iter()
        .map(|row| (ms(&row["sent_at"]), word(&row["agent_id"]), word(&row["text"]).to_lowercase()))
        .collect();
    said.sort();
    let rule = Identical { level: Level::Alert, ..Identical::default() };
    let mut states: BTreeMap<String, Repeats> = BTreeMap::new();
    let mut ours = BTreeSet::new();
    for (at, agent, text) in &said {
        let message = SpokenMessage::new(agent, None, text);
        if rule.on(states.entry(agent.clone()).or_default(), &message, *at).found {
            ours.insert((agent.clone(), *at));
        }
    }
    // These answers are of an earlier form, over a session: its window begins with
    // the first of the two and ends ten seconds after the second.
    let answered = lines(&folder, "out/c_duplicate_messages.alerts.json");
    let theirs: BTreeSet<_> = answered.iter().map(|row| (word(&row["key"]), ms(&row["window_end"]) - 10_000)).collect();
    assert_eq!(ours, theirs);
    assert!(answered.iter().all(|row| row["n"] == 2));
    // What the stream itself would tell: the slide that the repeat arrived in.
    assert_eq!(repeated(&said), theirs.into_iter().map(|(agent, at)| (agent, at / 1_000 * 1_000 + 1_000)).collect());
}

/// `duplicate_messages.sql`, said naively: who, and the end of the window.
fn repeated(said: &[(u64, String, String)]) -> BTreeSet<(String, u64)> {
    let (slide_ms, width_ms) = (1_000, 10_000);
    let mut windows: BTreeMap<(u64, &String, u128), (u64, u64)> = BTreeMap::new();
    for (at, agent, text) in said {
        for number in 0..width_ms / slide_ms {
            let end = at - at % slide_ms + slide_ms * (number + 1);
            let (n, last) = windows.entry((end, agent, content_hash(text))).or_default();
            *n += 1;
            *last = (*last).max(*at);
        }
    }
    let told = windows.into_iter().filter(|((end, ..), (n, last))| *n > 1 && *last >= end - slide_ms);
    told.map(|((end, agent, _), _)| (agent.clone(), end)).collect()
}

#[test]
fn dispatches_are_counted_as_by_the_real_engine() {
    let Some(folder) = folder() else { return };
    let rows = lines(&folder, "in/dispatches.json");
    let counted = |file: &str, whom: &str, when: &str, more_ms: u64| -> BTreeMap<(u64, String), u64> {
        let answers = lines(&folder, file);
        let rows = answers.iter().map(|row| ((ms(&row[when]) + more_ms, word(&row[whom])), row["n"].as_u64().unwrap()));
        rows.collect()
    };
    let of = |whom: &str| happened(&rows, whom, "dispatched_at");
    let theirs = counted("out/f_analyst.provider_rate.json", "provider", "minute", MINUTE_MS);
    assert_eq!(tumbled(&of("provider"), MINUTE_MS), theirs);
    let theirs = counted("out/f_analyst.tenant_p95.json", "tenant", "at", 0);
    assert_eq!(operated(&of("tenant"), MINUTE_MS, 5 * MINUTE_MS), theirs);
    let ours = operated(&of("agent_id"), MINUTE_MS, 10 * MINUTE_MS);
    let theirs = counted("out/f_analyst.noisy_agents.json", "agent_id", "at", 0);
    assert!(theirs.len() > 200 && theirs.iter().all(|(window, n)| ours.get(window) == Some(n)));
    // The ten that it told are ten with the most; who of equals, nobody said.
    let most = |windows: &BTreeMap<(u64, String), u64>| {
        let mut most: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for ((end, _), n) in windows {
            most.entry(*end).or_default().push(*n);
        }
        for counts in most.values_mut() {
            counts.sort_by(|a, b| b.cmp(a));
            counts.truncate(10);
        }
        most
    };
    assert_eq!(most(&ours), most(&theirs));
}

#[test]
fn percentiles_are_near_those_of_the_real_engine() {
    let Some(folder) = folder() else { return };
    let rows = lines(&folder, "in/dispatches.json");
    for answer in lines(&folder, "out/f_analyst.tenant_p95.json") {
        let end = ms(&answer["at"]);
        let held = |row: &&Value| (end - 5 * MINUTE_MS..end).contains(&ms(&row["dispatched_at"]));
        let own = rows.iter().filter(held).filter(|row| row["tenant"] == answer["tenant"]);
        let mut latencies: Vec<f64> = own.map(|row| row["latency_ms"].as_f64().unwrap()).collect();
        latencies.sort_by(f64::total_cmp);
        assert_eq!(latencies.len() as u64, answer["n"].as_u64().unwrap());
        // A sketch may be off by a value or so on either side of the exact place.
        let place = (latencies.len() as f64 * 0.95) as usize;
        let near = latencies[place.saturating_sub(3)]..=latencies[(place + 3).min(latencies.len() - 1)];
        assert!(near.contains(&answer["p95_ms"].as_f64().unwrap()), "{answer}: {near:?}");
    }
}

#[test]
fn every_fiftieth_message_is_the_same_by_number_and_by_count() {
    let Some(folder) = folder() else { return };
    let said = happened(&lines(&folder, "in/agent_messages.json"), "thread_id", "sent_at");
    assert_eq!(fiftieth_by_count(&said), fiftieth_by_number(&said));
    assert_eq!(fiftieth_by_number(&said).iter().filter(|(thread, _)| thread == "big").count(), 5);
}

/// As the operators' window counts.
fn fiftieth_by_count(said: &Happened) -> Vec<(String, u64)> {
    let rule = EveryNth { n: 50 };
    let mut counted: BTreeMap<&String, (Counted, u64)> = BTreeMap::new();
    let mut found = Vec::new();
    for (thread, _) in said {
        let (state, number) = counted.entry(thread).or_default();
        *number += 1;
        if rule.count(state) {
            found.push((thread.clone(), *number));
        }
    }
    found
}

/// As the stream does, over numbered messages.
fn fiftieth_by_number(said: &Happened) -> Vec<(String, u64)> {
    let mut numbers: BTreeMap<&String, u64> = BTreeMap::new();
    let numbered = said.iter().map(|(thread, _)| {
        let number = numbers.entry(thread).or_default();
        *number += 1;
        (thread.clone(), *number)
    });
    numbered.filter(|(_, number)| number % 50 == 0).collect()
}

/// A log that the flow writes here: agents that say what they will, at times that
/// a seed chooses.
pub fn seeded(seed: u64) -> Vec<(String, u64)> {
    let mut state = seed;
    let mut dice = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let mut at = 1_795_248_000_000;
    let mut said = Vec::new();
    for _ in 0..600 {
        // Equal times, bursts, edges of windows, pauses longer than any window.
        at += match dice(20) {
            0..=4 => 0,
            5..=14 => dice(3_000),
            15..=17 => 10_000 - at % 10_000,
            18 => 10_000 - at % 10_000 + 9_999,
            _ => dice(15 * MINUTE_MS),
        };
        said.push((format!("agt_{}", dice(4)), at));
    }
    said
}

#[test]
fn any_log_is_counted_as_the_model_counts_it() {
    for seed in 0..20 {
        let said = seeded(seed);
        for (slide_ms, width_ms) in [(10_000, MINUTE_MS), (1_000, 10_000), (MINUTE_MS, 10 * MINUTE_MS)] {
            let (ours, model) = (operated(&said, slide_ms, width_ms), modelled(&said, slide_ms, width_ms));
            assert_eq!(ours, model, "seed {seed}, every {slide_ms} ms, {width_ms} ms wide");
        }
        assert_eq!(tumbled(&said, 3_600_000), modelled(&said, 3_600_000, 3_600_000), "seed {seed}");
    }
}

/// The flow of one partition and all that it writes.
pub struct Recorded {
    flow: Flow,
    offset: u64,
    pub outputs: Vec<NewRecord>,
}

impl Recorded {
    fn new() -> Recorded {
        let mut recorded = Recorded { flow: Flow::new(7, 1, &Settings::default()), offset: 0, outputs: Vec::new() };
        let squad = std::fs::read_to_string(repository("tests/flow/squad.jsonl")).unwrap();
        for line in squad.lines() {
            recorded.takes(&serde_json::from_str(line).unwrap());
        }
        recorded
    }

    fn takes(&mut self, value: &Value) {
        let other = value.get("topic").and_then(Value::as_str).and_then(Topic::from_name);
        let (key, value) = match other {
            Some(_) => (value["key"].as_str().unwrap(), &value["value"]),
            None => ("acme", value),
        };
        let at_ms = value.get("at").map_or(1_795_248_000_000, ms);
        let record = Record {
            position: Position { topic: other.unwrap_or(Topic::WebhooksRaw), partition: 0, offset: self.offset },
            at_ms,
            key: key.to_owned().into(),
            value: Some(serde_json::to_vec(value).unwrap().into()),
            headers: Headers::default(),
        };
        self.offset += 1;
        self.flow.on(&record, &mut self.outputs).expect("no defect");
    }

    fn written(&self, topic: Topic) -> Vec<Value> {
        let values = self.outputs.iter().filter(|output| output.topic == topic);
        values.map(|output| serde_json::from_slice(output.value.as_deref().unwrap()).unwrap()).collect()
    }

    /// The tasks, and the messages of each, up to which a summary was asked for.
    pub fn summed_up(&self) -> BTreeSet<(String, u64)> {
        let requests = self.written(Topic::MemoryRequests);
        let asked = requests.iter().filter(|request| request["action"] == "summarise");
        asked.map(|request| (word(&request["taskId"]), request["through"].as_u64().unwrap())).collect()
    }
}

/// 120 messages in one thread, 55 in another, and what is no message between.
pub fn two_threads() -> Recorded {
    let mut log = Recorded::new();
    for (task, thread) in [("86c3kq9zt", "1795247900.000100"), ("86c3kq9zu", "1795247900.000200")] {
        log.takes(&json!({ "topic": "commands", "key": "acme", "value": {
            "kind": "trackTask", "tenantId": "acme", "at": "2026-11-21T08:00:00.000Z", "correlationId": format!("c-{task}"),
            "projectId": "prj_1", "provider": "clickup", "externalId": task, "threadTs": thread, "title": "Totals" } }));
    }
    for number in 0..175_u64 {
        let thread = if number % 3 == 2 && number < 165 { "1795247900.000200" } else { "1795247900.000100" };
        let ts = format!("1795247910.{number:06}");
        let said = json!({ "type": "message", "text": format!("word {number}"), "ts": ts, "event_ts": ts,
            "channel": "C0SHOPDEV1", "team": "T0ORCHARD1", "user": "U0ADANOVAK", "thread_ts": thread });
        let body =
            json!({ "team_id": "T0ORCHARD1", "type": "event_callback", "event_id": format!("Ev{ts}"), "event": said });
        log.takes(&json!({ "tenantId": "acme", "provider": "slack", "connectionId": "con_1",
            "receivedAt": "2026-11-21T08:00:00.000Z", "headers": {}, "body": body.to_string() }));
    }
    log
}

/// The stream's rows over the flow's `events` are the summaries that the flow asks
/// for.
#[test]
fn the_fiftieth_messages_of_a_recorded_log_are_those_that_are_summed_up() {
    let log = two_threads();
    let events = log.written(Topic::Events);
    let streamed: BTreeSet<_> = events
        .iter()
        .filter(|event| ["MessagePosted", "CommentPosted"].contains(&event["type"].as_str().unwrap()))
        .filter_map(|event| Some((event["task"]["id"].as_str()?.to_owned(), event["message"]["threadSeq"].as_u64()?)))
        .filter(|(_, number)| number % 50 == 0)
        .collect();
    let asked = log.summed_up();
    assert_eq!(streamed, asked);
    assert_eq!(asked.len(), 3, "two of the one, one of the other: {asked:?}");
}

/// Agents that the flow mutes are those that the stream's windows find, or that
/// said eleven within a minute that no slide of ten seconds is aligned with.
#[test]
fn whom_a_recorded_log_mutes_the_model_finds() {
    let mut log = Recorded::new();
    let mut said: Happened = Vec::new();
    // One says eleven within a minute, one eleven within just more than a minute,
    // one ten again and again.
    for (agent, every_ms, count) in [("agt_1", 5_000, 11), ("agt_2", 6_000, 11), ("agt_3", 6_600, 40)] {
        for number in 0..count {
            said.push((agent.to_owned(), 1_795_248_000_000 + number * every_ms));
        }
    }
    said.sort_by_key(|(_, at)| *at);
    for (number, (agent, at)) in said.iter().enumerate() {
        let at = udfs::time::to_rfc3339(i64::try_from(*at).unwrap());
        log.takes(&json!({ "topic": "commands", "key": "_clock", "value": { "kind": "tick", "at": at } }));
        log.takes(&json!({ "topic": "agents.actions", "key": "acme", "value": {
            "id": format!("act_{number:032x}"), "tenantId": "acme", "agentId": agent, "name": "message", "at": at,
            "data": { "thread": { "channelId": "C0SHOPDEV1", "threadTs": "1795247900.000100" },
                "text": format!("word {number}") } } }));
    }
    let alerts = log.written(Topic::Alerts);
    let muted: BTreeSet<_> = alerts
        .iter()
        .filter(|alert| alert["kind"] == "agent.muted")
        .map(|alert| alert["subject"].as_str().unwrap().to_owned())
        .collect();
    let found: BTreeSet<_> =
        modelled(&said, 10_000, MINUTE_MS).into_iter().filter(|(_, n)| *n > 10).map(|((_, agent), _)| agent).collect();
    assert_eq!((&muted, muted.len()), (&found, 1), "{alerts:?}");
}
