//! What ClickUp tells its webhooks: an envelope for each event that one of them
//! wants to hear of.

use serde_json::{Value, json};
use udfs::signature::CLICKUP;

use super::{World, tell::Told};

/// Of a new task: `taskCreated`, and `taskStatusUpdated` with it.
pub(super) fn created(world: &mut World, task: &Value, user: &Value, now_ms: u64) -> Vec<Told> {
    let none = json!({"status": null, "color": "#000000", "type": "removed", "orderindex": -1});
    let first = item(world, task, "status", user, now_ms, &none, &task["status"]);
    let made = item(world, task, "task_creation", user, now_ms, &Value::Null, &Value::Null);
    let mut told = tell(world, "taskCreated", &task["id"], &json!([first, made]));
    told.extend(tell(world, "taskStatusUpdated", &task["id"], &json!([first])));
    told
}

/// Of a task that changed: the specific event of each field, and `taskUpdated`.
pub(super) fn updated(world: &mut World, before: &Value, after: &Value, user: &Value, now_ms: u64) -> Vec<Told> {
    let mut told = Vec::new();
    for (field, place, event) in
        [("status", "status", "taskStatusUpdated"), ("name", "name", ""), ("content", "description", "")]
    {
        if before[place] != after[place] {
            let item = item(world, after, field, user, now_ms, &before[place], &after[place]);
            if !event.is_empty() {
                told.extend(tell(world, event, &after["id"], &json!([item])));
            }
            told.extend(tell(world, "taskUpdated", &after["id"], &json!([item])));
        }
    }
    told
}

/// Of a task that is gone: with nothing but its id.
pub(super) fn deleted(world: &World, id: &str) -> Vec<Told> {
    tell(world, "taskDeleted", &json!(id), &Value::Null)
}

/// Of a comment, and who wrote or changed it.
pub(super) fn commented(world: &mut World, event: &str, comment: &Value, by: &Value, now_ms: u64) -> Vec<Told> {
    let task = world.clickup_tasks.get(comment["task_id"].as_str().unwrap_or_default()).cloned().unwrap_or_default();
    let mut item = item(world, &task, "comment", by, now_ms, &Value::Null, &comment["id"]);
    item["id"] = comment["hist_id"].clone();
    item["comment"] = json!({
        "id": comment["id"], "date": comment["date"], "parent": comment["task_id"], "type": 1,
        "comment": comment["comment"], "text_content": comment["comment_text"], "user": comment["user"],
        "reactions": [], "emails": [],
    });
    tell(world, event, &task["id"], &json!([item]))
}

fn item(
    world: &mut World,
    task: &Value,
    field: &str,
    user: &Value,
    now_ms: u64,
    before: &Value,
    after: &Value,
) -> Value {
    let data = if field == "status" { json!({"status_type": after["type"]}) } else { json!({}) };
    json!({
        "id": format!("481002003004{:07}", world.number()), "type": 1, "date": now_ms.to_string(), "field": field,
        "parent_id": task["list"]["id"], "data": data, "source": null, "user": user, "before": before, "after": after,
    })
}

fn tell(world: &World, event: &str, task: &Value, items: &Value) -> Vec<Told> {
    let wants = |webhook: &&Value| {
        let events = webhook["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        webhook["health"]["status"] != "suspended" && events.iter().any(|own| own == event || own == "*")
    };
    let text = |webhook: &Value, field: &str| webhook[field].as_str().unwrap_or_default().to_owned();
    let told = |webhook: &Value| {
        let mut body = json!({"event": event, "task_id": task, "webhook_id": webhook["id"]});
        if !items.is_null() {
            body["history_items"] = items.clone();
        }
        Told {
            scheme: CLICKUP,
            webhook: Some(text(webhook, "id")),
            endpoint: text(webhook, "endpoint"),
            secret: text(webhook, "secret"),
            headers: Vec::new(),
            body,
        }
    };
    world.clickup_webhooks.all().filter(wants).map(told).collect()
}
