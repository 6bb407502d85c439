//! Tasks, comments, lists and webhooks as the real one shows them, and what
//! changes them.

use serde_json::{Value, json};

use crate::{World, world::CLICKUP_TEAM};
use runtime::identity::random_hex;

/// Whose token it is: what the hub does is done by this user.
pub fn us() -> Value {
    json!({"id": 40118800, "username": "Nexus", "email": "nexus@orchard.example", "color": "#4466ff", "initials": "N", "profilePicture": null})
}

/// Somebody else.
pub fn ada() -> Value {
    json!({"id": 40118823, "username": "Ada Novak", "email": "ada@orchard.example", "color": "#4466ff", "initials": "AN", "profilePicture": null})
}

/// A webhook, active.
pub fn webhook(id: &str, secret: &str, endpoint: &str, events: &Value, team: &str) -> Value {
    let events = if events.is_array() { events.clone() } else { json!(["*"]) };
    json!({
        "id": id, "userid": 40118800, "team_id": team.parse::<u64>().unwrap_or_default(), "endpoint": endpoint,
        "client_id": "FAKE", "events": events, "task_id": null, "list_id": null, "folder_id": null, "space_id": null,
        "health": {"status": "active", "fail_count": 0}, "secret": secret,
    })
}

/// A list with the usual statuses.
pub fn list(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "orderindex": 0, "content": "", "status": null, "priority": null, "assignee": null,
        "due_date": null, "start_date": null, "archived": false, "override_statuses": false,
        "folder": {"id": "90120011", "name": "Orchard", "hidden": false, "access": true},
        "space": {"id": "90120001", "name": "Orchard", "access": true},
        "statuses": [status("to do"), status("in progress"), status("blocked"), status("complete")],
        "permission_level": "create",
    })
}

fn status(name: &str) -> Value {
    let (index, kind) = match name {
        "to do" => (0, "open"),
        "complete" => (3, "closed"),
        _ => (1, "custom"),
    };
    json!({"status": name, "color": "#87909e", "orderindex": index, "type": kind})
}

/// A task made in a list that is there.
pub fn new_task(world: &mut World, list: &str, body: &Value, now_ms: u64) -> Option<Value> {
    let list = world.clickup_lists.get(list)?;
    let (list_id, list_name) = (list["id"].clone(), list["name"].clone());
    let (folder, space) = (list["folder"].clone(), list["space"].clone());
    let given = body["id"].as_str().map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("86fake{:03}", world.number()));
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let description = match text("markdown_description") {
        markdown if !markdown.is_empty() => markdown,
        _ => text("description"),
    };
    let assignees = body["assignees"].as_array().map(Vec::as_slice).unwrap_or_default();
    let person =
        |id: &Value| json!({"id": id, "username": format!("user {id}"), "email": null, "profilePicture": null});
    let priority = |name: &str| json!({"id": "1", "priority": name, "color": "#f50000", "orderindex": "1"});
    let task = json!({
        "id": id, "custom_id": null, "name": text("name"), "text_content": description, "description": description,
        "status": status(body["status"].as_str().unwrap_or("to do")), "archived": false,
        "orderindex": "1.00000000000000000000000000000000", "date_created": now_ms.to_string(),
        "date_updated": now_ms.to_string(), "date_closed": null, "creator": ada(),
        "assignees": assignees.iter().map(person).collect::<Vec<_>>(), "checklists": [], "tags": [], "parent": null,
        "priority": body["priority"].as_str().map(priority), "due_date": null, "start_date": null,
        "time_estimate": null, "custom_fields": [], "team_id": CLICKUP_TEAM, "url": format!("https://app.clickup.com/t/{id}"),
        "list": {"id": list_id, "name": list_name, "access": true}, "project": folder, "folder": folder, "space": space,
    });
    world.clickup_tasks.put(&id, task.clone());
    Some(task)
}

/// A comment made on a task that is there.
pub fn new_comment(world: &mut World, task: &str, text: &str, user: &Value, now_ms: u64) -> Option<Value> {
    world.clickup_tasks.get(task)?;
    let (number, history) = (world.number(), world.number());
    let id = format!("9012007700{number:04}");
    let comment = json!({
        "id": id, "comment": [{"text": text, "attributes": {}}], "comment_text": text, "user": user, "resolved": false,
        "assignee": null, "assigned_by": null, "reactions": [], "date": now_ms.to_string(), "reply_count": 0,
        "task_id": task, "hist_id": format!("481002003004{history:07}"),
    });
    world.clickup_comments.put(&id, comment.clone());
    Some(comment)
}

/// Changes a task as a body asks.
pub fn change(task: &mut Value, body: &Value, now_ms: u64) -> Result<(), &'static str> {
    if let Some(name) = body["name"].as_str() {
        task["name"] = json!(name);
    }
    if let Some(text) = body["description"].as_str().or_else(|| body["markdown_content"].as_str()) {
        task["description"] = json!(text);
        task["text_content"] = json!(text);
    }
    if let Some(name) = body["status"].as_str() {
        if !["to do", "in progress", "blocked", "complete"].contains(&name.to_ascii_lowercase().as_str()) {
            return Err("Status does not exist");
        }
        task["status"] = status(&name.to_ascii_lowercase());
    }
    if let Some(archived) = body["archived"].as_bool() {
        task["archived"] = json!(archived);
    }
    task["date_updated"] = json!(now_ms.to_string());
    Ok(())
}

/// A name as only one thing has it.
pub fn uuid() -> String {
    let id = random_hex();
    format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..])
}
