//! What Slack's Events API tells the apps that listen: of every message that is
//! said, changed or taken away, by whomever. A message that calls the bot is
//! told twice, as `message` and as `app_mention`.

use serde_json::{Value, json};
use udfs::signature::SLACK;

use super::{World, slack::without_channel, tell::Told};
use runtime::identity::random_hex;

/// An app that listens: a workspace's id, an address, a signing secret.
pub fn app(team: &str, endpoint: &str, secret: &str) -> Value {
    json!({"teamId": team, "endpoint": endpoint, "secret": secret})
}

/// Of a new message.
pub(super) fn posted(world: &World, channel: &str, message: &Value) -> Vec<Told> {
    let mut event = message.clone();
    event["event_ts"] = message["ts"].clone();
    let mut told = tell(world, channel, event.clone());
    if message["text"].as_str().is_some_and(|text| text.contains("<@U0NEXUS>")) {
        event["type"] = json!("app_mention");
        told.extend(tell(world, channel, event));
    }
    told
}

/// Of one that says something else now.
pub(super) fn changed(world: &World, channel: &str, at: &str, before: &Value, after: &Value) -> Vec<Told> {
    let (before, after) = (without_channel(before), without_channel(after));
    let event = json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "ts": at, "event_ts": at, "message": after,
        "previous_message": before,
    });
    tell(world, channel, event)
}

/// Of one that is gone.
pub(super) fn deleted(world: &World, channel: &str, at: &str, before: &Value) -> Vec<Told> {
    let event = json!({
        "type": "message", "subtype": "message_deleted", "hidden": true, "ts": at, "event_ts": at,
        "deleted_ts": before["ts"], "previous_message": without_channel(before),
    });
    tell(world, channel, event)
}

fn tell(world: &World, channel: &str, mut event: Value) -> Vec<Told> {
    event["channel"] = json!(channel);
    event["channel_type"] = json!("channel");
    let text = |app: &Value, field: &str| app[field].as_str().unwrap_or_default().to_owned();
    let told = |app: &Value| {
        let mut event = event.clone();
        if event["team"].is_string() {
            event["team"] = app["teamId"].clone();
        }
        let second = event["event_ts"].as_str().and_then(|ts| ts.split('.').next()?.parse::<u64>().ok());
        let body = json!({
            "token": "fake", "team_id": app["teamId"], "api_app_id": "A0NEXUS", "event": event,
            "type": "event_callback", "event_id": format!("Ev{}", &random_hex()[..12].to_uppercase()),
            "event_time": second, "authorizations": [{"team_id": app["teamId"], "user_id": "U0NEXUS", "is_bot": true}],
            "is_ext_shared_channel": false,
        });
        Told {
            scheme: SLACK,
            webhook: None,
            endpoint: text(app, "endpoint"),
            secret: text(app, "secret"),
            headers: Vec::new(),
            body,
        }
    };
    world.slack_apps.all().map(told).collect()
}
