//! A Slack channel and a ClickUp list in memory: what is written to them they
//! keep, and tell of it in webhooks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub const US_IN_SLACK: &str = "U0NEXUS";
pub const US_IN_CLICKUP: &str = "500";

/// A message or a comment.
#[derive(Clone, Debug, Default)]
pub struct Post {
    pub author: String,
    pub text: String,
    /// Command and part.
    pub mark: Option<(String, usize)>,
    /// The thread's root, or the task.
    pub under: String,
    /// A line that says that something was deleted.
    pub tomb: bool,
}

/// Both, and what they have to tell.
pub struct World {
    pub slack: BTreeMap<String, Post>,
    pub clickup: BTreeMap<u64, Post>,
    pub status: BTreeMap<String, String>,
    /// Webhooks to be sent: provider and body.
    pub told: Vec<(&'static str, Value)>,
    /// Comments are told of without our link, posts without metadata.
    pub tells_marks: bool,
    pub now_ms: u64,
    numbers: u64,
}

impl World {
    pub fn new(tells_marks: bool, now_ms: u64) -> Self {
        World {
            slack: BTreeMap::new(),
            clickup: BTreeMap::new(),
            status: BTreeMap::new(),
            told: Vec::new(),
            tells_marks,
            now_ms,
            numbers: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn ts(&mut self) -> String {
        let number = self.number() % 1_000;
        format!("{}.{:03}{number:03}", self.now_ms / 1_000, self.now_ms % 1_000)
    }

    fn slack_message(&self, ts: &str, post: &Post) -> Value {
        let mut message = json!({ "type": "message", "ts": ts, "text": post.text, "user": post.author, "team": "T1" });
        if !post.under.is_empty() {
            message["thread_ts"] = json!(post.under);
        }
        if post.author == US_IN_SLACK {
            message["bot_id"] = json!("B0NEXUS");
        }
        if let Some((id, part)) = post.mark.as_ref().filter(|_| self.tells_marks) {
            let payload = json!({ "id": id, "part": part });
            message["metadata"] = json!({ "event_type": "nexus_origin", "event_payload": payload });
        }
        message
    }

    fn tell_slack(&mut self, mut event: Value) {
        event["channel"] = json!("C1");
        if event.get("event_ts").is_none() {
            event["event_ts"] = event["ts"].clone();
        }
        let id = format!("Ev{}", self.number());
        self.told.push(("slack", json!({ "type": "event_callback", "team_id": "T1", "event_id": id, "event": event })));
    }

    pub fn slack_post(&mut self, post: Post) -> String {
        let ts = self.ts();
        let event = self.slack_message(&ts, &post);
        self.slack.insert(ts.clone(), post);
        self.tell_slack(event);
        ts
    }

    pub fn slack_edit(&mut self, ts: &str, text: &str, tomb: bool) -> bool {
        let Some(before) = self.slack.get(ts).cloned() else { return false };
        let after = Post { text: text.to_owned(), tomb, ..before.clone() };
        let at = self.ts();
        let mut message = self.slack_message(ts, &after);
        message["edited"] = json!({ "user": after.author, "ts": at });
        let previous = self.slack_message(ts, &before);
        self.slack.insert(ts.to_owned(), after);
        self.tell_slack(json!({
            "type": "message", "subtype": "message_changed", "ts": at, "message": message, "previous_message": previous,
        }));
        true
    }

    pub fn slack_delete(&mut self, ts: &str) -> bool {
        let Some(before) = self.slack.remove(ts) else { return false };
        let previous = self.slack_message(ts, &before);
        let at = self.ts();
        self.tell_slack(json!({
            "type": "message", "subtype": "message_deleted", "ts": at, "deleted_ts": ts, "previous_message": previous,
        }));
        true
    }

    fn tell_clickup(&mut self, event: &str, id: u64, post: &Post, by: &str) {
        let mut blocks = vec![json!({ "text": post.text })];
        if let Some((mark, part)) = post.mark.as_ref().filter(|_| self.tells_marks) {
            let link = format!("https://hub.example/m#nexus-origin={mark}.{part}");
            blocks.push(json!({ "text": "·", "attributes": { "link": link } }));
        }
        let date = self.now_ms.to_string();
        self.told.push((
            "clickup",
            json!({
                "event": event, "webhook_id": "w1", "task_id": post.under,
                "history_items": [{
                    "id": format!("88{id}"), "type": 1, "date": date, "field": "comment", "parent_id": "901",
                    "user": { "id": by.parse::<u64>().expect("a number"), "username": by },
                    "comment": { "id": id.to_string(), "text_content": post.text, "comment": blocks },
                }],
            }),
        ));
    }

    pub fn clickup_post(&mut self, post: Post) -> u64 {
        let id = 9_000 + self.number();
        self.tell_clickup("taskCommentPosted", id, &post, &post.author.clone());
        self.clickup.insert(id, post);
        id
    }

    pub fn clickup_edit(&mut self, id: u64, text: &str, tomb: bool, by: &str) -> bool {
        let Some(post) = self.clickup.get_mut(&id) else { return false };
        (post.text, post.tomb) = (text.to_owned(), tomb);
        let post = post.clone();
        self.tell_clickup("taskCommentUpdated", id, &post, by);
        true
    }

    /// ClickUp says nothing of it; reconciliation finds it later.
    pub fn clickup_delete(&mut self, id: u64, is_found: bool) -> bool {
        let Some(post) = self.clickup.remove(&id) else { return false };
        if is_found {
            let history = format!("gone{}", self.number());
            let parent = json!({ "type": "comment-parent", "object_type": "task", "object_id": post.under });
            let author = json!({ "type": "comment-author", "object_type": "user", "object_id": post.author });
            self.told.push((
                "clickup",
                json!({
                    "hist_id": history, "date": self.now_ms,
                    "version": {
                        "object_type": "comment", "object_id": id.to_string(), "deleted": true,
                        "data": { "relationships": [parent, author] },
                    },
                }),
            ));
        }
        true
    }

    pub fn clickup_task(&mut self, id: &str) {
        self.status.insert(id.to_owned(), "to do".to_owned());
        let date = self.now_ms.to_string();
        self.told.push((
            "clickup",
            json!({
                "event": "taskCreated", "webhook_id": "w1", "task_id": id,
                "task": { "id": id, "name": format!("Task {id}"), "status": { "status": "to do", "type": "open" } },
                "history_items": [{
                    "id": format!("77{id}"), "type": 1, "date": date, "field": "task_creation", "parent_id": "901",
                    "user": { "id": 7, "username": "7" },
                }],
            }),
        ));
    }

    pub fn clickup_status(&mut self, task: &str, status: &str, by: &str) {
        let Some(known) = self.status.get_mut(task) else { return };
        if known == status {
            return;
        }
        let before = std::mem::replace(known, status.to_owned());
        let (id, date) = (self.number(), self.now_ms.to_string());
        self.told.push((
            "clickup",
            json!({
                "event": "taskStatusUpdated", "webhook_id": "w1", "task_id": task,
                "history_items": [{
                    "id": format!("66{id}"), "type": 1, "date": date, "field": "status", "parent_id": "901",
                    "user": { "id": by.parse::<u64>().expect("a number"), "username": by },
                    "before": { "status": before, "type": "custom" }, "after": { "status": status, "type": "custom" },
                }],
            }),
        ));
    }
}
