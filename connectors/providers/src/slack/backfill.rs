//! What was said in Slack: a channel's messages, and the replies to them.

use pipeline::event::Project;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use udfs::markup::{Ids, slack_to_plain};

use super::Slack;
use crate::{
    capability::{
        Backfill, History,
        backfill::{Heard, check_cursor, from_json, post_id, to_json},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

/// A step of a backfill.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Step {
    /// A page of a channel's history.
    Channel { channel: String, cursor: Option<String> },
    /// A page of a thread's replies.
    Thread { channel: String, ts: String, cursor: Option<String> },
}

impl Backfill for Slack {
    fn plan<'a>(&'a self, history: &'a dyn History, projects: &'a [&'a Project]) -> Asking<'a, Vec<Value>> {
        Box::pin(async move {
            let mut steps = Vec::new();
            for channel in projects.iter().filter_map(|row| row.slack_channel_id.clone()) {
                steps.push(Step::Channel { channel: channel.clone(), cursor: None });
                // Replies to what is older than `from` stand in no page of it.
                let threads = history.threads(&channel).await?;
                steps.extend(threads.into_iter().map(|ts| Step::Thread { channel: channel.clone(), ts, cursor: None }));
            }
            Ok(to_json(steps))
        })
    }

    fn step<'a>(
        &'a self,
        client: &'a ProviderClient,
        history: &'a mut dyn History,
        step: &'a Value,
    ) -> Asking<'a, Vec<Value>> {
        Box::pin(async move {
            Ok(to_json(match from_json(step)? {
                Step::Channel { channel: id, cursor } => channel(client, history, &id, cursor.as_deref()).await?,
                Step::Thread { channel, ts, cursor } => {
                    thread(client, history, &channel, &ts, cursor.as_deref()).await?
                }
            }))
        })
    }
}

/// Messages of a page: as many as Slack advises.
const MESSAGES_OF_PAGE: &str = "200";

fn seconds(history: &dyn History) -> String {
    format!("{}.000000", history.from().as_ms() / 1000)
}

/// One page of a channel; the threads in it, and the next page.
async fn channel(
    client: &ProviderClient,
    history: &mut dyn History,
    channel: &str,
    cursor: Option<&str>,
) -> Result<Vec<Step>, ProviderError> {
    let oldest = seconds(history);
    let query = [("channel", channel), ("oldest", &*oldest)];
    let (messages, next) = page(client, "conversations.history", &query, cursor).await?;
    let mut more = Vec::new();
    // Newest first, as they are told: they are said in their order.
    for message in messages.iter().rev() {
        say(client, history, channel, message);
        let replies = message["reply_count"].as_u64().unwrap_or_default();
        if let Some(ts) = word_at(message, "/ts").filter(|_| replies > 0) {
            more.push(Step::Thread { channel: channel.to_owned(), ts, cursor: None });
        }
    }
    more.extend(next.map(|cursor| Step::Channel { channel: channel.to_owned(), cursor: Some(cursor) }));
    Ok(more)
}

/// One page of a thread, and the next.
async fn thread(
    client: &ProviderClient,
    history: &mut dyn History,
    channel: &str,
    ts: &str,
    cursor: Option<&str>,
) -> Result<Vec<Step>, ProviderError> {
    let oldest = seconds(history);
    let query = [("channel", channel), ("ts", ts), ("oldest", &*oldest)];
    let (messages, next) = match page(client, "conversations.replies", &query, cursor).await {
        // It was deleted, with all that stood below it.
        Err(ProviderError::Gone { .. }) => return Ok(Vec::new()),
        page => page?,
    };
    // The root comes with every page, however old it is.
    for message in messages.iter().filter(|message| message["ts"] != ts) {
        say(client, history, channel, message);
    }
    let next = next.map(|cursor| Step::Thread { channel: channel.to_owned(), ts: ts.to_owned(), cursor: Some(cursor) });
    Ok(next.into_iter().collect())
}

async fn page(
    client: &ProviderClient,
    method: &str,
    query: &[(&str, &str)],
    cursor: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), ProviderError> {
    let mut query = query.to_vec();
    query.extend([("limit", MESSAGES_OF_PAGE), ("include_all_metadata", "true")]);
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let page = client.get(&[method], &query).await?;
    let next = word_at(&page, "/response_metadata/next_cursor").filter(|_| page["has_more"] != false);
    check_cursor(cursor, next.as_deref())?;
    Ok((rows_at(&page, "/messages")?.to_vec(), next))
}

/// Tells of a message what was not heard of it.
fn say(client: &ProviderClient, history: &mut dyn History, channel: &str, message: &Value) {
    let Some(ts) = word_at(message, "/ts").filter(|_| is_said(message)) else { return };
    let text = slack_to_plain(message["text"].as_str().unwrap_or_default(), &Ids);
    let id = post_id(channel, &ts);
    match history.heard("post", &id, &text) {
        Heard::Alike => return,
        Heard::Not => put(client, history, channel, message, &ts),
        Heard::Otherwise => {
            let Some(edited) = word_at(message, "/edited/ts").filter(|_| !history.is_history()) else { return };
            let change = json!({ "type": "message", "subtype": "message_changed", "hidden": true, "message": message });
            put(client, history, channel, &change, &edited);
        }
    }
    history.tell("post", &id, &text);
}

/// Notices of who came and went are told by events of other kinds.
fn is_said(message: &Value) -> bool {
    let subtype = message["subtype"].as_str().unwrap_or_default();
    message["type"] == "message"
        && matches!(subtype, "" | "thread_broadcast" | "file_share" | "me_message" | "bot_message")
}

/// As the Events API would have brought it.
fn put(client: &ProviderClient, history: &mut dyn History, channel: &str, message: &Value, ts: &str) {
    let mut event = message.clone();
    for (field, value) in [("channel", channel), ("ts", ts), ("event_ts", ts), ("channel_type", "channel")] {
        event[field] = json!(value);
    }
    let team = &client.external_id;
    history.feed(&json!({ "type": "event_callback", "team_id": team, "event": event }), &[], None);
}
