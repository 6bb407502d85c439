//! What must hold of the second half of the chain whatever comes in: a restart
//! changes nothing, tenants never meet, numbers have no gaps, memory is bounded.

mod support;

use std::collections::{BTreeMap, HashMap};

use pipeline::{
    event::{InboxEntry, StandardEvent},
    flow::{Flow, Settings},
    ports::{NewRecord, Position, Record},
    settings::{LookupSettings, TrackSettings, UnroutedSettings},
    topics::Topic,
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use support::{RECEIVED, files, record, repository, row, webhook};

/// A partition that can be restarted: what it kept, in the order of the log.
struct Partition {
    settings: Settings,
    flow: Flow,
    state: Vec<Record>,
    outputs: Vec<NewRecord>,
    uncommitted: Vec<NewRecord>,
    last: Option<Record>,
}

impl Partition {
    fn new(settings: Settings) -> Self {
        let flow = Flow::new(7, 1, &settings);
        Partition { settings, flow, state: Vec::new(), outputs: Vec::new(), uncommitted: Vec::new(), last: None }
    }

    fn take(&mut self, record: Record) {
        self.flow.on(&record, &mut self.uncommitted).expect("no defect");
        self.last = Some(record);
    }

    fn commit(&mut self) {
        let Some(last) = self.last.take() else { return };
        self.flow.flush(&last, &mut self.uncommitted);
        for output in self.uncommitted.drain(..) {
            if output.topic != Topic::PipelineState {
                self.outputs.push(output);
                continue;
            }
            let position = Position { topic: Topic::PipelineState, partition: 0, offset: self.state.len() as u64 };
            let NewRecord { at_ms, key, value, headers, .. } = output;
            self.state.push(Record { position, at_ms, key, value, headers });
        }
    }

    /// As after a crash: the newest record of each key, oldest first.
    fn restart(&mut self) {
        self.commit();
        let newest: HashMap<_, _> = self.state.iter().map(|kept| (kept.key.clone(), kept.position.offset)).collect();
        self.state.retain(|kept| kept.value.is_some() && newest[&kept.key] == kept.position.offset);
        for (offset, kept) in self.state.iter_mut().enumerate() {
            kept.position.offset = offset as u64;
        }
        self.flow = Flow::new(7, 1, &self.settings);
        for kept in &self.state {
            self.flow.restore(kept);
        }
    }
}

/// Small bounds, so that what happens at them happens here.
fn tight() -> Settings {
    Settings {
        lookup: LookupSettings { drafts_max: 6, drafts_per_task_max: 3, ..LookupSettings::default() },
        track: TrackSettings { tasks_max: 3, ..TrackSettings::default() },
        unrouted: UnroutedSettings { events_per_tenant_max: 4, ..UnroutedSettings::default() },
        ..Settings::default()
    }
}

/// Every input of every story, the directory's rows among them.
fn inputs() -> Vec<Value> {
    let folder = repository("tests/flow");
    let mut paths = files(&folder, "jsonl");
    for entry in std::fs::read_dir(&folder).expect("stories are there") {
        let path = entry.expect("a readable folder").path();
        paths.extend(files(&path, "jsonl").into_iter().filter(|path| path.ends_with("in.jsonl")));
    }
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).expect("a text file"));
    let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let values = lines.map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
    values.filter(|value| value.get("include").is_none()).collect()
}

fn squad() -> Vec<Value> {
    let text = std::fs::read_to_string(repository("tests/flow/squad.jsonl")).expect("a text file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The same input once more is a repeat; another nonce makes it another.
fn renewed(mut value: Value, number: usize) -> Value {
    if value.get("topic").is_none() {
        value["nonce"] = json!(number.to_string());
    } else if value["topic"] == "agents.actions" {
        value["value"]["id"] = json!(format!("act_{number}"));
    } else if value["key"] == "_clock" {
        let at = 1_795_248_000 + number as i64;
        let (minute, second) = ((at / 60) % 60, at % 60);
        value["value"]["at"] = json!(format!("2026-11-21T08:{minute:02}:{second:02}.000Z"));
    }
    value
}

fn numbers(outputs: &[NewRecord]) -> BTreeMap<(String, String), Vec<u64>> {
    let mut numbers: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for output in outputs.iter().filter(|output| output.topic == Topic::AgentsInbox) {
        let entry: InboxEntry = serde_json::from_slice(output.value.as_ref().expect("a value")).expect("an entry");
        assert_eq!(output.key, entry.tenant_id.as_bytes());
        if let Some(event) = &entry.event {
            assert_eq!((&event.id, &event.tenant_id), (&entry.id, &entry.tenant_id));
            assert!(!event.unrouted, "what is unrouted is told to nobody");
        }
        for addressee in entry.to {
            assert_eq!(addressee.prev_seq + 1, addressee.seq);
            assert_ne!(event_actor(&entry.event), Some(&*addressee.agent_id), "told of what it did itself");
            numbers.entry((entry.tenant_id.clone(), addressee.agent_id)).or_default().push(addressee.seq);
        }
    }
    for (agent, numbers) in &numbers {
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{agent:?} got {numbers:?}");
    }
    numbers
}

fn event_actor(event: &Option<StandardEvent>) -> Option<&str> {
    event.as_ref()?.actor.as_ref()?.agent_id.as_deref()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whenever it is restarted and wherever it commits, it says the same.
    #[test]
    fn a_restart_changes_nothing(
        chosen in prop::collection::vec((any::<Index>(), any::<u8>()), 1..160),
        is_tight in any::<bool>(),
    ) {
        let pool = inputs();
        let settings = if is_tight { tight() } else { Settings::default() };
        let (mut calm, mut shaken) = (Partition::new(settings.clone()), Partition::new(settings));
        let chosen = chosen.iter().map(|(index, fate)| (index.get(&pool).clone(), *fate));
        let first = squad().into_iter().map(|value| (value, 1));
        for (number, (value, fate)) in first.chain(chosen).enumerate() {
            let input = record(&renewed(value, number), number as u64);
            calm.take(input.clone());
            shaken.take(input);
            match fate % 8 {
                0 => shaken.restart(),
                1 | 2 => shaken.commit(),
                _ => {}
            }
        }
        calm.commit();
        shaken.commit();
        for (at, (calm, shaken)) in calm.outputs.iter().zip(&shaken.outputs).enumerate() {
            prop_assert_eq!(format!("{calm:?}"), format!("{shaken:?}"), "output {}", at);
        }
        prop_assert_eq!(calm.outputs.len(), shaken.outputs.len());
        prop_assert_eq!(calm.flow.remembered(), shaken.flow.remembered());
        for letter in support::written(&calm.outputs, Topic::DeadLetters) {
            prop_assert!(!letter["reason"].as_str().expect("a reason").starts_with("defect"), "{}", letter);
        }
        numbers(&shaken.outputs);
    }

    /// Two tenants use the same words for everything, and never meet.
    #[test]
    fn tenants_never_meet(
        rows in prop::collection::vec(rows(), 4..40),
        happenings in prop::collection::vec((any::<bool>(), happening(), any::<u8>()), 1..80),
    ) {
        let mut partition = Partition::new(Settings::default());
        let rows = rows.into_iter().map(|value| (value, 1));
        let events = happenings.into_iter().map(|(second, value, fate)| (of_tenant(value, second), fate));
        for (number, (value, fate)) in rows.chain(events).enumerate() {
            partition.take(record(&renewed(value, number), number as u64));
            if fate % 8 == 0 {
                partition.restart();
            }
        }
        partition.commit();
        for (tenant, agent) in numbers(&partition.outputs).into_keys() {
            prop_assert!(agent.starts_with(&tenant), "{} was told of {}'s", agent, tenant);
        }
        for output in partition.outputs.iter().filter(|output| output.topic == Topic::Events) {
            let event: StandardEvent = serde_json::from_slice(output.value.as_ref().expect("a value")).expect("an event");
            let by = event.actor.iter().filter_map(|actor| actor.agent_id.as_ref());
            for agent in by.chain(event.mentions.iter().flat_map(|mention| &mention.agent_ids)) {
                prop_assert!(agent.starts_with(&event.tenant_id), "{} stands in {:?}", agent, event);
            }
        }
    }
}

fn tenant(second: bool) -> &'static str {
    if second { "two" } else { "one" }
}

fn of_tenant(mut value: Value, second: bool) -> Value {
    match value.get("topic") {
        None => value["tenantId"] = json!(tenant(second)),
        Some(_) => {
            value["key"] = json!(tenant(second));
            value["value"]["tenantId"] = json!(tenant(second));
        }
    }
    value
}

/// A row of a random directory: few names, so that they are often the same.
fn rows() -> impl Strategy<Value = Value> {
    (any::<bool>(), 0..5usize, 0..3usize, prop::collection::vec(0..4usize, 0..4), any::<bool>()).prop_map(
        |(second, kind, number, members, flag)| {
            let tenant = tenant(second);
            // Ids of the other tenant's agents may stand in a row by mistake.
            let agents: Vec<_> = members.iter().map(|member| format!("{tenant}-agt{member}")).collect();
            let strangers: Vec<_> = members.iter().map(|member| format!("two-agt{member}")).collect();
            let (kind, id, data) = match kind {
                0 => {
                    let ids = json!([{ "provider": "slack", "id": format!("U{number}") }]);
                    let name = format!("name{number}");
                    ("agent", format!("{tenant}-agt{number}"), json!({ "name": name, "clientId": "c", "externalIds": ids, "enabled": true }))
                }
                1 => ("workgroup", "wg".to_owned(), json!({ "name": "w", "agentIds": if flag { agents } else { strangers } })),
                2 => ("alias", format!("als{number}"), json!({ "alias": "@all", "agentIds": if flag { agents } else { strangers } })),
                _ => {
                    let group = flag.then_some("wg");
                    let notify = if number == 0 { "all" } else { "mentioned" };
                    ("project", format!("prj{number}"), json!({ "name": "p", "workgroupId": group, "slackChannelId": "C1", "clickupListId": "77", "notify": notify }))
                }
            };
            row(tenant, kind, &id, Some(data))
        },
    )
}

fn happening() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["plain", "@all", "@name0 @name1", "<@U2> you", "@two-agt1"]);
    (text, 0..5usize, 0..4usize).prop_map(|(text, kind, agent)| match kind {
        0 | 1 => {
            let thread = if kind == 0 { "1.000100" } else { "2.000100" };
            let event = json!({ "type": "message", "text": text, "user": "U1", "ts": format!("9.{agent}"), "channel": "C1", "thread_ts": thread });
            webhook("slack", &[], &json!({ "team_id": "T", "event": event }).to_string())
        }
        2 => {
            let task = json!({ "id": format!("t{agent}"), "name": text, "list": { "id": "77" } });
            webhook("clickup", &[], &json!({ "event": "taskCreated", "task_id": format!("t{agent}"), "task": task }).to_string())
        }
        3 => {
            let data = json!({ "taskId": "t1", "text": text });
            let value = json!({ "id": "x", "tenantId": "", "agentId": format!("two-agt{agent}"), "name": "message", "data": data, "at": RECEIVED });
            json!({ "topic": "agents.actions", "key": "", "value": value })
        }
        _ => {
            let value = json!({ "kind": "trackTask", "correlationId": text, "tenantId": "", "projectId": "prj1", "provider": "clickup",
                "externalId": "t1", "threadTs": "1.000100", "channelId": "C1", "at": RECEIVED });
            json!({ "topic": "commands", "key": "", "value": value })
        }
    })
}

#[test]
fn memory_is_bounded_with_ten_thousand_tenants() {
    let settings = Settings {
        lookup: LookupSettings { drafts_max: 500, ..LookupSettings::default() },
        track: TrackSettings { tasks_max: 5_000, ..TrackSettings::default() },
        unrouted: UnroutedSettings { bytes_max: 1 << 20, ..UnroutedSettings::default() },
        ..Settings::default()
    };
    let mut flow = Flow::new(7, 1, &settings);
    let (mut outputs, mut offset) = (Vec::new(), 0);
    let mut take = |flow: &mut Flow, value: &Value| {
        flow.on(&record(value, offset), &mut outputs).expect("no defect");
        offset += 1;
        outputs.clear();
    };
    for number in 0..10_000 {
        let tenant = format!("tenant-{number}");
        take(&mut flow, &row(&tenant, "project", "prj", Some(json!({ "name": "p", "clickupListId": "77" }))));
        let token = json!({ "provider": "clickup", "sealedToken": "x" });
        take(&mut flow, &row(&tenant, "connection", "con_2", Some(token)));
        for (list, connection) in [("77", "con_1"), ("78", "con_1"), ("77", "con_2")] {
            let name = (connection == "con_1").then(|| "n".repeat(200));
            let task = json!({ "id": format!("t{list}{connection}"), "name": name, "list": { "id": list } });
            let body = json!({ "event": "taskCreated", "task": task, "task_id": task["id"] }).to_string();
            let mut request = webhook("clickup", &[], &body);
            (request["tenantId"], request["connectionId"]) = (json!(tenant), json!(connection));
            take(&mut flow, &request);
        }
    }
    let remembered = flow.remembered();
    assert_eq!((remembered.tenants, remembered.tasks, remembered.held), (10_000, 5_000, 500));
    assert!((500..3_000).contains(&remembered.unrouted), "{remembered:?}");
}
