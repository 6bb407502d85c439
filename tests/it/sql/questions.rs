//! The questions of `sql/analytics`, over the records of one invented week.
//! `UPDATE_SQL=1` writes the answers for you to review.

use std::{path::PathBuf, sync::Arc};

use pipeline::{
    ports::{Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::Topic,
};
use runtime::{
    config::Config,
    sql::{Engine, Format, Question},
};
use serde_json::{Value, json};

const TENANT: &str = "acme";
/// Monday, 2026-01-05, 08:00 UTC.
const MONDAY_MS: u64 = 1_767_600_000_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// The records of a week, as they are written down.
#[derive(Default)]
struct Week(Vec<NewRecord>);

impl Week {
    fn add(&mut self, topic: Topic, key: &str, at_ms: u64, value: &Value) {
        self.0.push(NewRecord {
            topic,
            partition: 0,
            at_ms,
            key: key.to_owned().into(),
            value: Some(value.to_string().into()),
            headers: Headers::default(),
        });
    }

    /// An event, received 250 ms after it happened.
    fn event(&mut self, id: &str, kind: &str, provider: &str, at_ms: u64, more: Value) {
        let mut event = json!({
            "id": id, "type": kind, "tenantId": TENANT, "occurredAt": time(at_ms), "receivedAt": time(at_ms + 250),
            "traceId": "0", "source": { "provider": provider, "event": kind },
            "raw": { "topic": "webhooks.raw", "partition": 0, "offset": 0 },
        });
        merge(&mut event, more);
        self.add(Topic::Events, TENANT, at_ms + 250, &event);
        let letter = json!({
            "id": format!("in_{id}"), "tenantId": TENANT, "name": "context_update", "at": time(at_ms + 350),
            "to": [{ "agentId": "ada", "seq": 1, "prevSeq": 0 }, { "agentId": "bob", "seq": 1, "prevSeq": 0 }],
            "event": event,
        });
        self.add(Topic::AgentsInbox, TENANT, at_ms + 350, &letter);
    }

    fn action(&mut self, agent: &str, name: &str, at_ms: u64, data: Value) {
        let id = format!("act_{}", self.0.len());
        let action =
            json!({ "id": id, "tenantId": TENANT, "agentId": agent, "name": name, "data": data, "at": time(at_ms) });
        self.add(Topic::AgentsActions, TENANT, at_ms, &action);
    }
}

fn time(at_ms: u64) -> String {
    udfs::time::to_rfc3339(at_ms as i64)
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    into.extend(from);
}

fn week() -> Vec<NewRecord> {
    let mut week = Week::default();
    let human = json!({ "kind": "human", "trust": "member", "externalId": "U1", "name": "Una" });
    let ada = json!({ "kind": "agent", "trust": "agent", "agentId": "ada" });
    let task =
        |id: &str, title: &str, state: &str| json!({ "id": id, "title": title, "state": state, "externalId": id });
    let project = json!({ "id": "prj_shop", "externalId": "901", "name": "Shop" });
    let made = |id: &str, title: &str| {
        json!({ "actor": human, "task": task(id, title, "TODO"), "project": project,
                "mentions": [{ "alias": "@AI_Squad", "agentIds": ["ada"] }] })
    };
    let moved = |id: &str, title: &str, state: &str| json!({ "actor": human, "task": task(id, title, state), "project": project });
    let said = |id: &str, title: &str, actor: &Value| {
        json!({ "actor": actor, "task": task(id, title, "IN_PROGRESS"), "project": project,
                "message": { "text": "a word", "channelId": "C1", "threadTs": "1.1" } })
    };
    week.event("e1", "NewWorkItem", "clickup", MONDAY_MS, made("t1", "The checkout fails"));
    week.event("e2", "NewWorkItem", "github", MONDAY_MS + 30 * MINUTE_MS, made("t2", "Slow search"));
    week.event("e3", "MessagePosted", "slack", MONDAY_MS + 12 * MINUTE_MS, said("t1", "The checkout fails", &ada));
    week.event("e4", "MessagePosted", "slack", MONDAY_MS + 13 * MINUTE_MS, said("t1", "The checkout fails", &ada));
    week.event("e5", "MessagePosted", "slack", MONDAY_MS + 14 * MINUTE_MS, said("t1", "The checkout fails", &human));
    week.event("e6", "CommentPosted", "github", MONDAY_MS + 90 * MINUTE_MS, said("t2", "Slow search", &ada));
    let echo = json!({ "echo": true, "actor": ada, "task": task("t2", "Slow search", "IN_PROGRESS") });
    week.event("e7", "CommentPosted", "clickup", MONDAY_MS + 91 * MINUTE_MS, echo);
    week.event("e8", "WorkItemStatusChanged", "clickup", MONDAY_MS + DAY_MS, moved("t1", "The checkout fails", "DONE"));
    let back = moved("t1", "The checkout fails", "IN_PROGRESS");
    week.event("e9", "WorkItemStatusChanged", "clickup", MONDAY_MS + DAY_MS + MINUTE_MS, back);
    let again = moved("t1", "The checkout fails", "DONE");
    week.event("e10", "WorkItemStatusChanged", "clickup", MONDAY_MS + 2 * DAY_MS, again);
    let nowhere = json!({ "unrouted": true, "project": { "externalId": "999" }, "actor": human });
    week.event("e11", "WorkItemUpdated", "clickup", MONDAY_MS + 4 * DAY_MS, nowhere);
    for (agent, minutes, text) in [
        ("ada", 10, "On it."),
        ("ada", 12, "On  it."),
        ("ada", 14, "A fix is on its way."),
        ("bob", 10, "Looking."),
        ("bob", 200, "Done."),
    ] {
        let data = json!({ "taskId": "t1", "text": text, "traceId": "0" });
        week.action(agent, "message", MONDAY_MS + minutes * MINUTE_MS, data);
    }
    week.action("ada", "status_update", MONDAY_MS + 11 * MINUTE_MS, json!({ "status": "busy" }));
    for (agent, input, cost) in [("ada", 1_000, 0.01), ("ada", 2_000, 0.02), ("bob", 500, 0.0005)] {
        let data = json!({ "model": "large", "inputTokens": input, "outputTokens": 10, "calls": 2, "cost": cost });
        week.action(agent, "usage", MONDAY_MS + 15 * MINUTE_MS, data);
    }
    for (number, provider, stage, code) in
        [(1, "slack", "done", None), (2, "slack", "failed", Some("channel_not_found")), (3, "clickup", "claimed", None)]
    {
        let at_ms = MONDAY_MS + number * MINUTE_MS;
        let command = json!({
            "id": format!("mir_{number}"), "tenantId": TENANT, "connectionId": "c", "lane": "l", "attempt": 1,
            "projectId": "prj_shop", "taskId": "t1", "at": time(at_ms), "deadline": time(at_ms + DAY_MS),
            "work": { "kind": "post", "place": { "system": provider }, "text": { "markdown": "x", "from": "nexus" } },
        });
        week.add(Topic::MirrorCommands, TENANT, at_ms, &command);
        let result = |stage: &str, later_ms: u64| {
            json!({ "commandId": format!("mir_{number}"), "tenantId": TENANT, "stage": stage, "code": code,
                    "at": time(at_ms + later_ms) })
        };
        week.add(Topic::MirrorResults, TENANT, at_ms + 5, &result("claimed", 5));
        if stage != "claimed" {
            week.add(Topic::MirrorResults, TENANT, at_ms + 400, &result(stage, 400));
        }
    }
    let alert = json!({ "kind": "agent.stuck", "severity": "warning", "tenantId": TENANT, "subject": "ada",
                        "message": "said the same again", "at": time(MONDAY_MS + 12 * MINUTE_MS) });
    week.add(Topic::Alerts, TENANT, MONDAY_MS + 12 * MINUTE_MS, &alert);
    let letter = json!({ "id": "dl_1", "tenantId": TENANT, "stage": "normalize", "reason": "no such field",
                         "attempts": 1, "at": time(MONDAY_MS),
                         "original": { "topic": "webhooks.raw", "partition": 0, "offset": 7, "key": TENANT } });
    week.add(Topic::DeadLetters, TENANT, MONDAY_MS, &letter);
    for (id, title, state, updated_ms, deleted) in [
        // The older one of a key does not count.
        ("t1", "The checkout fails", "TODO", MONDAY_MS, false),
        ("t1", "The checkout fails", "DONE", MONDAY_MS + 2 * DAY_MS, false),
        ("t2", "Slow search", "IN_PROGRESS", MONDAY_MS + 90 * MINUTE_MS, false),
        ("t3", "A dark mode", "TODO", MONDAY_MS + 4 * DAY_MS, false),
        ("t4", "Gone", "TODO", MONDAY_MS, true),
    ] {
        let data = json!({ "id": id, "provider": "clickup", "externalId": id, "projectId": "prj_shop", "title": title,
                           "state": state, "createdAt": time(MONDAY_MS), "updatedAt": time(updated_ms),
                           "deleted": deleted });
        week.add(Topic::PipelineState, &format!("{TENANT}/task/{id}"), updated_ms, &json!({ "data": data }));
    }
    week.0
}

async fn engine() -> Arc<dyn Engine> {
    let log = Arc::new(MemoryLog::new(1));
    log.append(week()).await.unwrap();
    analytics::engine(&Config::load(None, std::iter::empty()).unwrap(), log).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_has_its_answer() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let answers = root.join("tests/it/sql/answers");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("sql/analytics")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 20);
    let engine = engine().await;
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("-- ") && text.lines().next().unwrap().ends_with('?'), "{name} asks nothing");
        let columns = text.lines().find_map(|line| line.strip_prefix("-- Columns: ")).unwrap_or_default();
        let question = Question { tenant: TENANT.to_owned(), text: text.clone(), format: Format::Csv };
        let answer = engine.ask(question).await.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(answer.lines().next().unwrap(), columns.replace(", ", ","), "{name}");
        assert!(answer.lines().count() > 1, "{name} has no answer");
        let path = answers.join(format!("{name}.csv"));
        if std::env::var("UPDATE_SQL").is_ok() {
            std::fs::write(&path, &answer).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != answer {
            wrong.push(format!("{name}:\n{answer}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_SQL=1 writes them:\n{}", wrong.join("\n"));
}
