//! What GitHub tells a repository's hooks: of issues and their comments. Each
//! delivery is remembered; the real one sends it once.

use serde_json::{Value, json};
use udfs::signature::GITHUB;

use super::repository_of;
use crate::{World, clickup::uuid, tell::Told};

/// Of an issue.
pub(super) fn issue(world: &mut World, action: &str, issue: &Value, by: &Value, before: Option<&Value>) -> Vec<Told> {
    let mut body = json!({"action": action, "issue": issue});
    if let Some(before) = before {
        let changes = ["title", "body"].into_iter().filter(|field| before[*field] != issue[*field]);
        body["changes"] = changes.map(|field| (field.to_owned(), json!({"from": before[field]}))).collect();
    }
    tell(world, "issues", body, issue, by)
}

/// Of a comment on an issue.
pub(super) fn comment(
    world: &mut World,
    action: &str,
    issue: &Value,
    comment: &Value,
    by: &Value,
    before: Option<&Value>,
) -> Vec<Told> {
    let mut body = json!({"action": action, "issue": issue, "comment": comment});
    if let Some(before) = before {
        body["changes"] = json!({"body": {"from": before["body"]}});
    }
    tell(world, "issue_comment", body, issue, by)
}

fn tell(world: &mut World, event: &'static str, mut body: Value, issue: &Value, by: &Value) -> Vec<Told> {
    let Some((owner, name)) = repository_of(issue) else { return Vec::new() };
    body["repository"] = json!({
        "id": 7, "name": name, "full_name": format!("{owner}/{name}"), "private": true,
        "owner": {"login": owner, "id": 8, "type": "Organization"},
        "html_url": format!("https://github.com/{owner}/{name}"),
    });
    body["sender"] = by.clone();
    let wants = |hook: &&Value| {
        let events = hook["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let hears = events.is_empty() || events.iter().any(|own| own == event || own == "*");
        hears && repository_of(hook).is_some_and(|known| known == (owner.clone(), name.clone()))
    };
    let hooks: Vec<Value> = world.github_hooks.all().filter(wants).cloned().collect();
    let told = |hook: Value| {
        let (guid, id) = (uuid(), world.number());
        let delivery = json!({
            "id": id, "guid": guid, "event": event, "action": body["action"], "redelivery": false,
            "hook": format!("{owner}/{name} {}", hook["id"]), "request": {"payload": body},
        });
        world.github_deliveries.put(&id.to_string(), delivery);
        let text = |field: &str| hook["config"][field].as_str().unwrap_or_default().to_owned();
        Told {
            scheme: GITHUB,
            webhook: None,
            endpoint: text("url"),
            secret: text("secret"),
            headers: vec![
                ("x-github-event", event.to_owned()),
                ("x-github-delivery", guid),
                ("x-github-hook-id", hook["id"].to_string()),
            ],
            body: body.clone(),
        }
    };
    hooks.into_iter().map(told).collect()
}
