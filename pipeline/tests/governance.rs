//! Governance through the whole flow, beside naive models: equal and late times,
//! restarts at any record. What is promised is looked for in what comes out.

mod support;

use std::collections::{BTreeMap, HashMap};

use pipeline::{
    event::{InboxEntry, Time},
    flow::{Flow, Settings},
    ports::{NewRecord, Position, Record},
    topics::Topic,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{record, row, written};

const START_MS: u64 = 1_795_248_000_000;

/// One partition that can be restarted after any record.
struct Partition {
    flow: Flow,
    state: Vec<Record>,
    uncommitted: Vec<NewRecord>,
    outputs: Vec<NewRecord>,
    last: Option<Record>,
    offset: u64,
}

impl Partition {
    /// Two tenants with two agents each, and a project of theirs.
    fn new(limits: &Value) -> Self {
        let mut partition = Partition {
            flow: Flow::new(7, 1, &Settings::default()),
            state: Vec::new(),
            uncommitted: Vec::new(),
            outputs: Vec::new(),
            last: None,
            offset: 0,
        };
        for tenant in ["acme", "umbra"] {
            partition.take(&row(tenant, "tenant", tenant, Some(json!({ "name": tenant, "limits": limits }))));
            for agent in ["a", "b"] {
                let data = json!({ "name": agent, "clientId": agent, "enabled": true });
                partition.take(&row(tenant, "agent", &format!("agt_{agent}"), Some(data)));
            }
            let project = json!({ "name": "p", "clickupListId": "77", "slackChannelId": "C1" });
            partition.take(&row(tenant, "project", "prj_1", Some(project)));
        }
        partition
    }

    fn take(&mut self, value: &Value) {
        let input = record(value, self.offset);
        self.offset += 1;
        self.flow.on(&input, &mut self.uncommitted).expect("no defect");
        self.last = Some(input);
    }

    fn commit(&mut self) {
        let Some(last) = self.last.take() else { return };
        self.flow.flush(&last, &mut self.uncommitted);
        for output in self.uncommitted.drain(..) {
            if output.topic == Topic::PipelineState {
                let position = Position { topic: output.topic, partition: 0, offset: self.state.len() as u64 };
                let NewRecord { at_ms, key, value, headers, .. } = output;
                self.state.push(Record { position, at_ms, key, value, headers });
            } else {
                self.outputs.push(output);
            }
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
        self.flow = Flow::new(7, 1, &Settings::default());
        for kept in &self.state {
            self.flow.restore(kept);
        }
    }

    fn tick(&mut self, at_ms: u64) {
        let tick = json!({ "kind": "tick", "at": Time::from_ms(at_ms) });
        self.take(&json!({ "topic": "commands", "key": "_clock", "value": tick }));
    }

    /// An agent says something in a thread; its action's id.
    fn say(&mut self, tenant: &str, agent: &str, text: &str) -> String {
        self.act(tenant, agent, "message", json!({ "thread": { "channelId": "C1", "threadTs": "1.1" }, "text": text }))
    }

    fn act(&mut self, tenant: &str, agent: &str, name: &str, data: Value) -> String {
        let id = format!("act_{:032x}", self.offset);
        let at = Time::from_ms(START_MS);
        let action = json!({ "id": id, "tenantId": tenant, "agentId": agent, "name": name, "data": data, "at": at });
        self.take(&json!({ "topic": "agents.actions", "key": tenant, "value": action }));
        id
    }

    /// A person speaks in the thread.
    fn person(&mut self, tenant: &str, ts: u64) {
        let event = json!({
            "type": "message", "text": format!("word {ts}"), "user": "U1", "ts": format!("{ts}.1"),
            "channel": "C1", "thread_ts": "1.1",
        });
        let mut webhook = support::webhook("slack", &[], &json!({ "team_id": "T", "event": event }).to_string());
        webhook["tenantId"] = json!(tenant);
        self.take(&webhook);
    }

    fn presence(&mut self, agent: &str, socket: &str, status: Option<&str>) {
        let value = status.map(|status| {
            let at = Time::from_ms(START_MS);
            json!({ "agentId": agent, "instance": "i", "socketId": socket, "ready": true, "status": status, "lastSeen": at })
        });
        let key = format!("acme/agent/{agent}/{socket}");
        self.take(&json!({ "topic": "presence", "key": key, "value": value }));
    }

    fn mute(&mut self, agent: &str, muted: bool) {
        let at = Time::from_ms(START_MS);
        let mute = json!({ "kind": "mute", "tenantId": "acme", "agentId": agent, "muted": muted, "at": at });
        self.take(&json!({ "topic": "commands", "key": "acme", "value": mute }));
    }

    /// What agents were answered: the action, when, and the answer.
    fn answers(&self) -> Vec<(String, u64, Value)> {
        let inbox = self.outputs.iter().filter(|output| output.topic == Topic::AgentsInbox);
        let entries = inbox.map(|output| {
            serde_json::from_slice::<InboxEntry>(output.value.as_deref().expect("a value")).expect("an entry")
        });
        let answers = entries.filter(|entry| entry.name == "action_result").map(|entry| {
            let data = Value::Object(entry.data.expect("an answer"));
            (data["actionId"].as_str().expect("an id").to_owned(), entry.at.as_ms(), data)
        });
        answers.collect()
    }

    /// The newest answer: its status and its reason.
    fn answer(&mut self) -> (String, Option<String>) {
        self.commit();
        let (.., data) = self.answers().pop().expect("an answer");
        (data["status"].as_str().expect("a status").to_owned(), data["reason"].as_str().map(str::to_owned))
    }

    fn alerts(&mut self) -> Vec<String> {
        self.commit();
        let alerts = written(&self.outputs, Topic::Alerts);
        alerts.iter().map(|alert| alert["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// What the gateways are told: the agent, and until when it stays out.
    fn barred(&mut self) -> Vec<(String, Option<u64>)> {
        self.commit();
        let told = self.outputs.iter().filter(|output| output.topic == Topic::Presence);
        let barred = told.map(|output| {
            let key = String::from_utf8(output.key.to_vec()).expect("text");
            let value = output.value.as_deref().map(|value| serde_json::from_slice::<Value>(value).expect("JSON"));
            let until = value.map(|value| serde_json::from_value::<Time>(value["until"].clone()).expect("a time"));
            (key, until.map(|until| until.as_ms() - START_MS))
        });
        barred.collect()
    }
}

/// Times of a clock: equal, a little on, about a window on, and back.
fn steps() -> impl Strategy<Value = Vec<(i64, usize, u8)>> {
    let step = prop_oneof![
        4 => Just(0),
        4 => 1..6_000_i64,
        2 => 59_990..60_010_i64,
        1 => Just(60_000),
        1 => -70_000..0_i64,
        1 => 100_000..400_000_i64,
    ];
    prop::collection::vec((step, 0..4_usize, any::<u8>()), 1..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The promise of the contract: never an eleventh within any 60 s of the
    /// log's clock, never a refusal when there was room, and the time to wait is
    /// exact; whatever restarts, and the same as without restarts.
    #[test]
    fn never_an_eleventh_and_never_a_refusal_with_room(steps in steps()) {
        let limits = json!({ "identical": { "level": "off" } });
        let (mut calm, mut shaken) = (Partition::new(&limits), Partition::new(&limits));
        let (mut raw, mut who) = (START_MS as i64, BTreeMap::new());
        for (number, (step, agent, fate)) in steps.into_iter().enumerate() {
            raw += step;
            let (tenant, agent) = [("acme", "agt_a"), ("acme", "agt_b"), ("umbra", "agt_a"), ("umbra", "agt_b")][agent];
            for partition in [&mut calm, &mut shaken] {
                partition.tick(raw as u64);
                let action = partition.say(tenant, agent, &format!("{number}"));
                who.insert(action, (tenant, agent));
            }
            match fate % 5 {
                0 => shaken.restart(),
                1 => shaken.commit(),
                _ => {}
            }
        }
        calm.commit();
        shaken.commit();
        prop_assert_eq!(format!("{:?}", calm.outputs), format!("{:?}", shaken.outputs));

        let mut said: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
        for (action, at_ms, answer) in shaken.answers() {
            let times = said.entry(who[&action]).or_default();
            let in_window: Vec<u64> = times.iter().copied().filter(|time| at_ms - time < 60_000).collect();
            if answer["status"] == "accepted" {
                prop_assert!(in_window.len() < 10, "an eleventh at {}", at_ms);
                times.push(at_ms);
            } else {
                prop_assert_eq!((&answer["status"], &answer["reason"]), (&json!("muted"), &json!("messages")));
                prop_assert_eq!(in_window.len(), 10, "refused with room at {}", at_ms);
                prop_assert_eq!(&answer["retryAfterMs"], &json!(in_window[0] + 60_000 - at_ms));
            }
        }
        prop_assert_eq!(said.values().map(Vec::len).sum::<usize>(), written(&shaken.outputs, Topic::Events).len());
    }

    /// Presence, mutes, cool-downs and repeats of few words, at random: a restart
    /// changes nothing, who was cut is out for the whole cool-down, and alerts of
    /// being gone and back take turns.
    #[test]
    fn a_restart_changes_nothing(deeds in prop::collection::vec((0..9_u8, 0..2_usize, 0..4_u64, any::<u8>()), 1..200)) {
        let limits = json!({ "messages": { "limit": 4 }, "coolDownMs": 20_000, "nearDuplicates": { "level": "nudge" } });
        let (mut calm, mut shaken) = (Partition::new(&limits), Partition::new(&limits));
        let mut now = START_MS;
        for (deed, agent, number, fate) in deeds {
            let agent = ["agt_a", "agt_b"][agent];
            now += [0, 900, 4_000, 40_000][number as usize];
            for partition in [&mut calm, &mut shaken] {
                match deed {
                    0..3 => _ = partition.say("acme", agent, &format!("I have read file {number} and will go on")),
                    3 => _ = partition.act("acme", agent, "message", json!({ "taskId": "none", "text": "x" })),
                    4 => partition.mute(agent, number > 1),
                    5 => partition.presence(agent, &format!("i.{number}"), Some("ONLINE")),
                    6 => partition.presence(agent, &format!("i.{number}"), Some("OFFLINE")),
                    7 => partition.presence(agent, &format!("i.{number}"), None),
                    _ => partition.tick(now),
                }
            }
            match fate % 4 {
                0 => shaken.restart(),
                1 => shaken.commit(),
                _ => {}
            }
        }
        calm.commit();
        shaken.commit();
        prop_assert_eq!(format!("{:?}", calm.outputs), format!("{:?}", shaken.outputs));
        prop_assert_eq!(calm.flow.remembered(), shaken.flow.remembered());
        let mut gone: BTreeMap<String, bool> = BTreeMap::new();
        for alert in written(&shaken.outputs, Topic::Alerts) {
            let is_gone = match alert["kind"].as_str().expect("a kind") {
                "agent.offline" => true,
                "agent.online" => false,
                kind => { prop_assert_ne!(kind, "dead_letter", "{}", alert); continue }
            };
            let before = gone.insert(alert["subject"].to_string(), is_gone);
            prop_assert_eq!(before.unwrap_or_default(), !is_gone, "one alert an episode");
        }
    }
}

#[test]
fn an_agent_that_says_the_same_again_is_cut_until_its_cool_down_is_over() {
    let mut partition = Partition::new(&json!({}));
    partition.tick(START_MS);
    partition.say("acme", "agt_a", "I will retry.");
    assert_eq!(partition.answer(), ("accepted".to_owned(), None));
    partition.tick(START_MS + 5_000);
    partition.say("acme", "agt_b", "I will retry.");
    assert_eq!(partition.answer().0, "accepted", "another agent may say it");
    partition.say("acme", "agt_a", "I will  retry. ");
    assert_eq!(partition.answer(), ("muted".to_owned(), Some("identical".to_owned())));
    assert_eq!(partition.alerts(), ["agent.stuck"]);
    assert_eq!(partition.barred(), [("acme/barred/agt_a".to_owned(), Some(65_000))]);

    partition.restart();
    partition.tick(START_MS + 64_999);
    partition.say("acme", "agt_a", "something else");
    assert_eq!(partition.answer(), ("muted".to_owned(), Some("coolDown".to_owned())));
    partition.restart();
    partition.tick(START_MS + 65_000);
    assert_eq!(partition.barred().last(), Some(&("acme/barred/agt_a".to_owned(), None)), "it may come back");
    partition.restart();
    partition.tick(START_MS + 66_000);
    partition.say("acme", "agt_a", "something else");
    assert_eq!(partition.answer().0, "accepted");
    assert_eq!(partition.barred().len(), 2);
    assert_eq!(partition.alerts(), ["agent.stuck"]);
}

#[test]
fn a_person_silences_an_agent_and_lets_it_speak_again() {
    let mut partition = Partition::new(&json!({}));
    partition.tick(START_MS);
    partition.mute("agt_a", true);
    partition.mute("agt_a", true);
    partition.mute("agt_nobody", true);
    partition.restart();
    partition.say("acme", "agt_a", "may I?");
    let (.., answer) = {
        partition.commit();
        partition.answers().pop().expect("an answer")
    };
    assert_eq!((&answer["status"], &answer["reason"]), (&json!("muted"), &json!("mutedByAdmin")));
    assert!(answer.get("retryAfterMs").is_none(), "time does not help");
    partition.say("acme", "agt_b", "I may");
    assert_eq!(partition.answer().0, "accepted");
    partition.act("acme", "agt_a", "status_update", json!({ "status": "waiting" }));
    assert_eq!(partition.answer().0, "accepted", "how it is may always be said");
    partition.mute("agt_a", false);
    partition.say("acme", "agt_a", "may I?");
    assert_eq!(partition.answer().0, "accepted");
    assert_eq!(partition.alerts(), ["agent.muted"], "once");

    // It lifts a cool-down, too.
    partition.say("acme", "agt_a", "may I?");
    assert_eq!(partition.answer().0, "muted");
    partition.mute("agt_a", false);
    assert_eq!(partition.barred().last(), Some(&("acme/barred/agt_a".to_owned(), None)));
    partition.say("acme", "agt_a", "now?");
    assert_eq!(partition.answer().0, "accepted");
}

#[test]
fn what_cannot_be_said_takes_no_place() {
    let mut partition = Partition::new(&json!({ "messages": { "limit": 1 } }));
    partition.tick(START_MS);
    for number in 0..5 {
        let data = json!({ "taskId": format!("nowhere {number}"), "text": "here" });
        partition.act("acme", "agt_a", "message", data);
        assert_eq!(partition.answer(), ("failed".to_owned(), Some("not_found".to_owned())));
    }
    partition.say("acme", "agt_a", "here");
    assert_eq!(partition.answer().0, "accepted");
    // Once it is mute, that is what it is told.
    partition.say("acme", "agt_a", "there");
    partition.act("acme", "agt_a", "message", json!({ "taskId": "nowhere", "text": "anywhere" }));
    assert_eq!(partition.answer(), ("muted".to_owned(), Some("messages".to_owned())));
}

#[test]
fn circles_and_standstill_are_told_and_a_person_ends_them() {
    let limits = json!({
        "handoffs": { "cycles": 2 }, "noProgress": { "messages": 6, "level": "mute" },
        "messages": { "level": "off" }, "nearDuplicates": { "level": "off" },
    });
    let mut partition = Partition::new(&limits);
    partition.tick(START_MS);
    let track = json!({
        "kind": "trackTask", "correlationId": "c1", "tenantId": "acme", "projectId": "prj_1", "provider": "clickup",
        "externalId": "t1", "threadTs": "1.1", "channelId": "C1", "at": Time::from_ms(START_MS),
    });
    partition.take(&json!({ "topic": "commands", "key": "acme", "value": track }));
    for (number, agent) in ["agt_a", "agt_b", "agt_a", "agt_b"].into_iter().enumerate() {
        partition.say("acme", agent, &format!("over to you, {number}"));
        partition.restart();
    }
    assert_eq!(partition.alerts(), ["task.handoffs"]);
    partition.person("acme", 2);
    for number in 4..9 {
        partition.say("acme", "agt_a", &format!("on my own, {number}"));
        assert_eq!(partition.answer().0, "accepted");
        partition.restart();
    }
    partition.say("acme", "agt_a", "on my own, 9");
    assert_eq!(partition.answer(), ("muted".to_owned(), Some("noProgress".to_owned())));
    assert_eq!(partition.alerts(), ["task.handoffs", "task.no_progress"]);
    partition.person("acme", 3);
    partition.say("acme", "agt_a", "on my own, 10");
    assert_eq!(partition.answer().0, "accepted");
}

#[test]
fn a_nudge_is_a_letter_to_the_agent_and_refuses_nothing() {
    let mut partition = Partition::new(&json!({ "nearDuplicates": { "level": "nudge", "count": 2 } }));
    partition.tick(START_MS);
    for number in 0..3 {
        partition.say("acme", "agt_a", &format!("I have read file {number} of nine and will go on"));
        assert_eq!(partition.answer().0, "accepted");
    }
    let letters = written(&partition.outputs, Topic::AgentsInbox);
    let nudges: Vec<_> = letters.iter().filter(|letter| letter["data"].get("nudge").is_some()).collect();
    assert_eq!(nudges.len(), 1, "once an episode");
    assert_eq!((&nudges[0]["name"], &nudges[0]["to"][0]["agentId"]), (&json!("context_update"), &json!("agt_a")));
    assert_eq!(nudges[0]["data"]["nudge"]["kind"], "agent.repeating");
    assert_eq!(partition.alerts(), ["agent.repeating"]);
}

#[test]
fn who_falls_silent_is_told_of_once_and_once_when_it_is_back() {
    let mut partition = Partition::new(&json!({}));
    let mut now = START_MS;
    let mut pass = |partition: &mut Partition, seconds: u64| {
        for _ in 0..seconds {
            now += 1_000;
            partition.tick(now);
        }
        partition.restart();
    };
    partition.tick(START_MS);
    // Never online: not missed. Closed and opened again: not gone.
    pass(&mut partition, 400);
    partition.presence("agt_a", "one.1", Some("ONLINE"));
    partition.presence("agt_a", "one.1", None);
    pass(&mut partition, 89);
    partition.presence("agt_a", "two.1", Some("ONLINE"));
    pass(&mut partition, 290);
    assert_eq!(partition.alerts(), [""; 0]);
    // Its socket is silent: its gateway knows after three heartbeats.
    partition.presence("agt_a", "two.1", Some("OFFLINE"));
    pass(&mut partition, 1);
    assert_eq!(partition.alerts(), ["agent.offline"]);
    partition.presence("agt_a", "two.1", None);
    pass(&mut partition, 500);
    partition.presence("agt_a", "three.1", Some("ONLINE"));
    assert_eq!(partition.alerts(), ["agent.offline", "agent.online"]);
    // Its gateway dies, and nobody is there to say so.
    pass(&mut partition, 299);
    assert_eq!(partition.alerts().len(), 2);
    pass(&mut partition, 2);
    assert_eq!(partition.alerts().last().map(String::as_str), Some("agent.offline"));
    // The hub is away for an hour: nobody is missed for that.
    partition.presence("agt_a", "four.1", Some("ONLINE"));
    partition.presence("agt_a", "four.1", None);
    now_passes(&mut partition, START_MS + 7_200_000);
    assert_eq!(partition.alerts().len(), 4);
    // One that takes no part is not missed.
    partition.take(&row("acme", "agent", "agt_a", Some(json!({ "name": "a", "clientId": "a", "enabled": false }))));
    for second in 1..200 {
        partition.tick(START_MS + 7_200_000 + second * 1_000);
    }
    assert_eq!(partition.alerts(), ["agent.offline", "agent.online", "agent.offline", "agent.online"]);
}

fn now_passes(partition: &mut Partition, at_ms: u64) {
    partition.tick(at_ms);
    partition.restart();
}

#[test]
fn limits_are_the_tenants_own_from_their_record_on() {
    let mut partition = Partition::new(&json!({ "messages": { "limit": 2 } }));
    partition.tick(START_MS);
    for text in ["1", "2", "3"] {
        partition.say("acme", "agt_a", text);
    }
    assert_eq!(partition.answer().0, "muted");
    let wider = json!({ "name": "acme", "limits": { "messages": { "limit": 3 } } });
    partition.take(&row("acme", "tenant", "acme", Some(wider)));
    partition.restart();
    partition.say("acme", "agt_a", "4");
    assert_eq!(partition.answer().0, "accepted");
    for text in ["1", "2", "3"] {
        partition.say("umbra", "agt_a", text);
    }
    assert_eq!(partition.answer().0, "muted", "the other tenant has its own");
    partition.take(&row("umbra", "tenant", "umbra", Some(json!({ "name": "umbra" }))));
    for number in 4..12 {
        partition.say("umbra", "agt_a", &number.to_string());
        assert_eq!(partition.answer().0, "accepted");
    }
    partition.say("umbra", "agt_a", "12");
    assert_eq!(partition.answer().0, "muted", "ten, as the hub has it");
    partition.commit();
    let (.., answer) = partition.answers().pop().expect("an answer");
    assert!(answer["retryAfterMs"].as_u64().is_some_and(|left_ms| left_ms > 0 && left_ms <= 60_000), "{answer}");
}
