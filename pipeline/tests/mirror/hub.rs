//! A partition that stories are told with.

use pipeline::{
    event::{MirrorCommand, MirrorPart, MirrorPlace, MirrorResult, MirrorStage, MirrorWork, Time},
    flow::Settings,
    topics::Topic,
};
use serde_json::{Value, json};

use super::{START_MS, partition::Partition};

/// A partition with a company in it, and a clock.
pub struct Hub {
    pub partition: Partition,
    pub now_ms: u64,
    told: usize,
    number: u64,
}

impl Hub {
    pub fn new() -> Self {
        Hub::of(Settings::default())
    }

    pub fn of(settings: Settings) -> Self {
        let mut hub = Hub { partition: Partition::of(settings), now_ms: START_MS, told: 0, number: 0 };
        hub.row("agent", "agt_1", json!({ "name": "Rook", "avatar": "https://x.example/rook.png", "clientId": "c1" }));
        let map = json!({ "to do": "TODO", "doing": "IN_PROGRESS", "waiting": "BLOCKED_ON_HUMAN", "complete": "DONE" });
        hub.row(
            "project",
            "prj_1",
            json!({
                "name": "Shop", "clickupListId": "901", "githubRepository": "orchard/shop", "jiraProjectKey": "SHOP",
                "slackChannelId": "C1", "notify": "all", "statusMap": map,
            }),
        );
        for (provider, own) in [("slack", "U0NEXUS"), ("clickup", "500"), ("github", "nexus[bot]"), ("jira", "jira-us")]
        {
            hub.connect(provider, json!({ "provider": provider, "sealedToken": "x", "ownIds": [own] }));
        }
        hub
    }

    pub fn row(&mut self, kind: &str, id: &str, data: Value) {
        let row = json!({ "kind": kind, "tenantId": "acme", "id": id, "data": data, "at": Time::from_ms(self.now_ms) });
        self.put(Topic::Control, &format!("acme/{kind}/{id}"), &row);
    }

    pub fn connect(&mut self, provider: &str, data: Value) {
        self.row("connection", &format!("con_{provider}"), data);
    }

    pub fn put(&mut self, topic: Topic, key: &str, value: &Value) {
        self.partition.append(topic, key, value, self.now_ms);
        self.partition.work(usize::MAX);
        self.partition.commit();
    }

    pub fn webhook(&mut self, provider: &str, headers: Value, body: &Value) {
        let at = Time::from_ms(self.now_ms);
        let webhook = json!({
            "tenantId": "acme", "provider": provider, "connectionId": format!("con_{provider}"), "receivedAt": at,
            "headers": headers, "body": body.to_string(),
        });
        self.put(Topic::WebhooksRaw, "acme", &webhook);
    }

    pub fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    pub fn task_created(&mut self, id: &str) {
        let item = json!({ "id": format!("77{id}"), "type": 1, "field": "task_creation", "parent_id": "901" });
        let task = json!({ "id": id, "name": "Mend it", "status": { "status": "to do", "type": "open" } });
        let body = json!({
            "event": "taskCreated", "webhook_id": "w1", "task_id": id, "task": task, "history_items": [item],
        });
        self.webhook("clickup", json!({}), &body);
    }

    pub fn comment(&mut self, user: u64, id: u64, text: &str) {
        let number = self.next();
        let item = json!({
            "id": format!("88{number}"), "type": 1, "field": "comment", "parent_id": "901", "user": { "id": user, "username": "ada" },
            "comment": { "id": id.to_string(), "text_content": text },
        });
        let body =
            json!({ "event": "taskCommentPosted", "webhook_id": "w1", "task_id": "t1", "history_items": [item] });
        self.webhook("clickup", json!({}), &body);
    }

    pub fn status(&mut self, before: &str, after: &str) {
        let number = self.next();
        let item = json!({
            "id": format!("66{number}"), "type": 1, "field": "status", "parent_id": "901", "user": { "id": 7 },
            "before": { "status": before }, "after": { "status": after },
        });
        let body =
            json!({ "event": "taskStatusUpdated", "webhook_id": "w1", "task_id": "t1", "history_items": [item] });
        self.webhook("clickup", json!({}), &body);
    }

    pub fn slack(&mut self, user: &str, ts: &str, thread: &str, text: &str) {
        self.slack_event(json!({
            "type": "message", "channel": "C1", "user": user, "ts": ts, "thread_ts": thread, "text": text, "team": "T1",
        }));
    }

    pub fn slack_event(&mut self, event: Value) {
        let id = format!("Ev{}", self.next());
        self.webhook(
            "slack",
            json!({}),
            &json!({ "type": "event_callback", "team_id": "T1", "event_id": id, "event": event }),
        );
    }

    pub fn agent(&mut self, name: &str, data: Value) {
        let id = format!("act_{:032x}", self.next());
        let at = Time::from_ms(self.now_ms);
        let action = json!({ "id": id, "tenantId": "acme", "agentId": "agt_1", "name": name, "data": data, "at": at });
        self.put(Topic::AgentsActions, "acme", &action);
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let tick = json!({ "kind": "tick", "at": Time::from_ms(self.now_ms) });
        self.put(Topic::Commands, "_clock", &tick);
    }

    /// What was commanded since this was asked last.
    pub fn commanded(&mut self) -> Vec<MirrorCommand> {
        let new = self.partition.commands[self.told..].to_vec();
        self.told = self.partition.commands.len();
        new
    }

    #[track_caller]
    pub fn one(&mut self) -> MirrorCommand {
        let mut new = self.commanded();
        assert_eq!(new.len(), 1, "{new:#?}");
        new.remove(0)
    }

    pub fn result(&mut self, result: &MirrorResult) {
        let value = serde_json::to_value(result).expect("JSON");
        self.put(Topic::MirrorResults, "acme", &value);
    }

    pub fn done(&mut self, command: &MirrorCommand, ids: &[&str]) {
        let mut result = MirrorResult::of(command, MirrorStage::Done, Time::from_ms(self.now_ms));
        result.parts = ids.iter().map(|id| MirrorPart { id: (*id).to_owned(), hash: None }).collect();
        self.result(&result);
    }

    pub fn ended(&mut self, command: &MirrorCommand, stage: MirrorStage, code: &str) {
        let mut result = MirrorResult::of(command, stage, Time::from_ms(self.now_ms));
        result.code = Some(code.to_owned());
        self.result(&result);
    }

    /// With a task that has its thread `1.0`.
    pub fn with_task() -> Self {
        let mut hub = Hub::new();
        hub.task_created("t1");
        let root = hub.one();
        hub.done(&root, &["1.0"]);
        hub
    }

    pub fn last_event(&self) -> &Value {
        self.partition.events.last().expect("an event")
    }
}

pub fn said(command: &MirrorCommand) -> &str {
    match &command.work {
        MirrorWork::Post { text, .. } | MirrorWork::Edit { text, .. } | MirrorWork::Whisper { text, .. } => {
            &text.markdown
        }
        other => panic!("nothing is said by {other:?}"),
    }
}

pub fn in_thread(ts: &str) -> MirrorPlace {
    MirrorPlace::Slack { channel_id: "C1".to_owned(), thread_ts: Some(ts.to_owned()) }
}
