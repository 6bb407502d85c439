//! What is asked of the memory: texts, edits and deletions under one id, a
//! summary every fifty messages of a thread whatever crashes, and tools with
//! what their agents reach.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};

use pipeline::{
    event::{MemoryRequest, MemoryResult, Span, Text, TextKind, ThreadSummary, Time, Trust},
    flow::{Flow, Settings},
    ports::{NewRecord, Position, Record},
    topics::Topic,
};
use serde_json::{Value, json};
use support::{RECEIVED, record, repository, row, run, webhook, written};

const CHANNEL: &str = "C0SHOPDEV1";
const THREAD: &str = "1795247900.000100";

fn squad() -> Vec<Value> {
    let text = std::fs::read_to_string(repository("tests/flow/squad.jsonl")).expect("the squad");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn track(external_id: &str, thread_ts: &str) -> Value {
    json!({ "topic": "commands", "key": "acme", "value": {
        "kind": "trackTask", "tenantId": "acme", "at": RECEIVED, "correlationId": format!("c-{external_id}"),
        "projectId": "prj_1", "provider": "clickup", "externalId": external_id, "threadTs": thread_ts, "title": "Totals",
    }})
}

fn slack(event: &Value) -> Value {
    let mark = event["ts"].as_str().or(event["event_ts"].as_str()).expect("a ts");
    let id = format!("Ev{mark}{}", event["subtype"].as_str().unwrap_or_default());
    let body = json!({ "team_id": "T0ORCHARD1", "type": "event_callback", "event_id": id, "event": event });
    webhook("slack", &[], &body.to_string())
}

fn said(text: &str, ts: &str, thread_ts: &str) -> Value {
    slack(&json!({ "type": "message", "text": text, "ts": ts, "event_ts": ts, "channel": CHANNEL, "team": "T0ORCHARD1",
        "user": "U0ADANOVAK", "thread_ts": thread_ts }))
}

fn requests(outputs: &[NewRecord]) -> Vec<MemoryRequest> {
    let values = written(outputs, Topic::MemoryRequests);
    values.into_iter().map(|value| serde_json::from_value(value).expect("a request")).collect()
}

fn asked(inputs: &[Value]) -> Vec<MemoryRequest> {
    requests(&run(&[squad(), inputs.to_vec()].concat()).0)
}

#[test]
fn an_edit_and_a_deletion_name_the_text_that_was_learned() {
    let ts = "1795247910.000100";
    let edited = json!({ "type": "message", "subtype": "message_changed", "channel": CHANNEL, "ts": "1795247920.000100",
        "event_ts": "1795247920.000100", "message": { "type": "message", "user": "U0ADANOVAK", "ts": ts, "thread_ts": THREAD,
        "text": "Ship on Monday", "edited": { "user": "U0ADANOVAK", "ts": "1795247920.000000" } },
        "previous_message": { "type": "message", "user": "U0ADANOVAK", "ts": ts, "thread_ts": THREAD, "text": "Ship on Friday" } });
    let deleted = json!({ "type": "message", "subtype": "message_deleted", "channel": CHANNEL, "ts": "1795247930.000100",
        "event_ts": "1795247930.000100", "deleted_ts": ts,
        "previous_message": { "type": "message", "user": "U0ADANOVAK", "ts": ts, "thread_ts": THREAD, "text": "Ship on Monday" } });
    let asked =
        asked(&[track("86c3kq9zt", THREAD), said("Ship on Friday", ts, THREAD), slack(&edited), slack(&deleted)]);
    let [MemoryRequest::Remember(first), MemoryRequest::Remember(second), MemoryRequest::Forget(third)] = &asked[..]
    else {
        panic!("{asked:#?}");
    };
    assert_eq!((first.text.as_str(), first.is_edit, first.thread_seq), ("Ship on Friday", false, Some(1)));
    assert_eq!(
        (first.author.as_deref(), first.trust, first.kind),
        (Some("Ada Novak"), Trust::Member, TextKind::Message)
    );
    assert_eq!((first.channel_id.as_deref(), first.thread_ts.as_deref()), (Some(CHANNEL), Some(THREAD)));
    assert_eq!((second.text.as_str(), second.is_edit), ("Ship on Monday", true));
    assert!(second.revised_at > first.revised_at && third.at > second.revised_at);
    assert_eq!((&second.id, third.text_id.as_ref()), (&first.id, Some(&first.id)));
    assert_eq!(first.project_id, "prj_1");
}

#[test]
fn what_nobody_mapped_and_our_own_voice_is_not_learned() {
    let elsewhere = json!({ "type": "message", "text": "hello", "ts": "1795247911.000100", "event_ts": "1795247911.000100",
        "channel": "C0NOWHERE", "user": "U0ADANOVAK" });
    let ours = json!({ "type": "message", "text": "done", "ts": "1795247912.000100", "event_ts": "1795247912.000100",
        "channel": CHANNEL, "user": "U0NEXUSBOT", "thread_ts": THREAD });
    let squads = json!({ "type": "message", "text": "no project", "ts": "1795247913.000100",
        "event_ts": "1795247913.000100", "channel": "C0SQUAD", "user": "U0ADANOVAK" });
    let asked_for = asked(&[slack(&elsewhere), slack(&ours), slack(&squads)]);
    assert!(asked_for.is_empty(), "{asked_for:#?}");
    let root = json!({ "type": "message", "text": "a thread begins", "ts": "1795247914.000100",
        "event_ts": "1795247914.000100", "channel": CHANNEL, "user": "U0STRANGER" });
    let asked_for = asked(&[slack(&root)]);
    let [MemoryRequest::Remember(root)] = &asked_for[..] else { panic!("{asked_for:#?}") };
    assert_eq!(root.thread_ts.as_deref(), Some("1795247914.000100"), "a message that begins a thread is its first");
    assert_ne!(root.trust, Trust::Member);
}

#[test]
fn a_tools_call_carries_what_its_agent_reaches() {
    let request = |agent: &str, tool: &str, action: &str| {
        json!({ "topic": "agents.actions", "key": "acme", "value": { "id": format!("act_{agent}_{tool}_{action}"),
            "tenantId": "acme", "agentId": agent, "name": "tool_request", "at": RECEIVED,
            "data": { "requestId": "r1", "tool": tool, "action": action, "args": { "query": "totals" } } } })
    };
    let agent = json!({ "name": "Rook", "clientId": "cli_agt_1", "enabled": true,
        "capabilities": ["tool:github.create_issue", "review"] });
    let (outputs, _) = run(&[
        squad(),
        vec![
            row("acme", "agent", "agt_1", Some(agent)),
            request("agt_1", "memory_search", ""),
            request("agt_4", "memory_search", ""),
            request("agt_1", "github", "create_issue"),
            request("agt_1", "github", "delete_repository"),
        ],
    ]
    .concat());
    let calls: Vec<(String, String, Vec<String>)> = requests(&outputs)
        .into_iter()
        .map(|request| match request {
            MemoryRequest::UseTool(call) => (call.agent_id, call.tool, call.project_ids),
            other => panic!("{other:?}"),
        })
        .collect();
    let reach: Vec<String> = ["prj_1", "prj_all", "prj_old"].map(str::to_owned).to_vec();
    assert_eq!(
        calls,
        [
            ("agt_1".to_owned(), "memory_search".to_owned(), reach.clone()),
            ("agt_4".to_owned(), "memory_search".to_owned(), vec![]),
            ("agt_1".to_owned(), "github".to_owned(), reach),
        ]
    );
    let told = written(&outputs, Topic::AgentsInbox);
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["name"], &told[0]["data"]["decision"]), (&json!("tool_result"), &json!("denied")));
}

/// A partition that may crash: what was not committed is gone, and comes again.
struct Partition {
    flow: Flow,
    inputs: Vec<Value>,
    next: usize,
    state: BTreeMap<Vec<u8>, (u64, Record)>,
    kept: u64,
    committed: Vec<NewRecord>,
}

impl Partition {
    fn new(inputs: Vec<Value>) -> Self {
        let flow = Flow::new(7, 1, &Settings::default());
        Partition { flow, inputs, next: 0, state: BTreeMap::new(), kept: 0, committed: Vec::new() }
    }

    /// Takes a batch; a crash loses what it led to.
    fn batch(&mut self, records: usize, crashes: bool) {
        let end = (self.next + records).min(self.inputs.len());
        let mut outputs = Vec::new();
        let mut last = None;
        for offset in self.next..end {
            let record = record(&self.inputs[offset], offset as u64);
            self.flow.on(&record, &mut outputs).expect("no defect");
            last = Some(record);
        }
        let Some(last) = last else { return };
        if crashes {
            self.flow = Flow::new(7, 1, &Settings::default());
            let mut kept: Vec<_> = self.state.values().collect();
            kept.sort_by_key(|(order, _)| *order);
            kept.into_iter().for_each(|(_, record)| self.flow.restore(record));
            return;
        }
        self.flow.flush(&last, &mut outputs);
        self.next = end;
        for output in outputs {
            if output.topic != Topic::PipelineState {
                self.committed.push(output);
                continue;
            }
            self.kept += 1;
            let key = output.key.to_vec();
            let position = Position { topic: Topic::PipelineState, partition: 0, offset: self.kept };
            let NewRecord { at_ms, key: name, value, headers, .. } = output;
            match value {
                None => drop(self.state.remove(&key)),
                value => {
                    let record = Record { position, at_ms, key: name, value, headers };
                    self.state.insert(key, (self.kept, record));
                }
            }
        }
    }
}

/// Threads (100, or as many as `NEXUS_CHAOS_THREADS` says) that reach 50, 100 and 150 messages, with a crash in about every
/// third batch: each is asked to be summed up three times, at these numbers,
/// and each summary is announced once.
#[test]
fn threads_have_three_summaries_each_through_crashes() {
    let threads: usize = std::env::var("NEXUS_CHAOS_THREADS").map_or(100, |threads| threads.parse().unwrap());
    const MESSAGES: usize = 150;
    let thread = |number: usize| format!("17952{number:05}.000100");
    let mut inputs = squad();
    // Without a token nothing is mirrored, which nobody would answer here.
    inputs.retain(|row| row["key"] != "acme/connection/con_token");
    inputs.extend((0..threads).map(|number| track(&format!("task{number}"), &thread(number))));
    for message in 0..MESSAGES {
        for number in 0..threads {
            inputs.push(said("words", &format!("18000{message:05}.{number:06}"), &thread(number)));
        }
    }
    let mut partition = Partition::new(inputs);
    let (mut dice, mut crashes) = (0x9E37_79B9_u64, 0);
    while partition.next < partition.inputs.len() {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let crash = (dice >> 40).is_multiple_of(3);
        crashes += usize::from(crash);
        partition.batch(200 + (dice >> 33) as usize % 1_200, crash);
    }
    assert!(crashes > 5, "{crashes}");
    let asked = requests(&partition.committed);
    let (mut through, mut ids): (HashMap<String, Vec<u64>>, HashSet<String>) = Default::default();
    let mut results = Vec::new();
    for request in asked {
        match request {
            MemoryRequest::Summarise(span) => {
                assert!(ids.insert(span.id.clone()), "asked twice");
                through.entry(span.task_id.clone()).or_default().push(span.through);
                results.push(summed_up(span));
            }
            MemoryRequest::Remember(Text { id, .. }) => assert!(ids.insert(id), "learned twice"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(through.len(), threads);
    assert!(through.values().all(|through| through == &[50, 100, 150]), "{through:?}");
    let events_before = written(&partition.committed, Topic::Events).len();
    partition.inputs.extend(results);
    while partition.next < partition.inputs.len() {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        partition.batch(200, (dice >> 40).is_multiple_of(3));
    }
    let events = written(&partition.committed, Topic::Events).split_off(events_before);
    assert_eq!(events.len(), 3 * threads);
    assert!(events.iter().all(|event| event["type"] == "SummaryCreated" && event["project"]["id"] == "prj_1"));
    let of_tasks: HashSet<String> = events.iter().map(|event| event["task"]["id"].to_string()).collect();
    assert_eq!(of_tasks.len(), threads);
    // The memory is not asked to remember what it made itself.
    assert_eq!(requests(&partition.committed).len(), threads * MESSAGES + 3 * threads);
}

fn summed_up(span: Span) -> Value {
    let result = MemoryResult::Summarised {
        request_id: span.id,
        tenant_id: span.tenant_id,
        summary: ThreadSummary {
            project_id: span.project_id,
            task_id: span.task_id,
            channel_id: span.channel_id,
            thread_ts: span.thread_ts,
            through: span.through,
            text: "Said:\n- Ada: words".to_owned(),
            trust: Trust::Member,
            model: "extractive".to_owned(),
        },
        at: Time(1_795_248_000_000),
    };
    json!({ "topic": "memory.results", "key": "acme", "value": result })
}
