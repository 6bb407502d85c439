//! What was said in Slack: a channel's messages, and the replies to them.

use pipeline::event::Task;
use serde_json::{Value, json};
use udfs::markup::{Ids, slack_to_plain};

use super::{
    super::{
        Connections,
        way::{Halt, rows_at, word_at},
    },
    STEPS_MAX, Step, Work,
    known::{Heard, post_id},
};
use store::{PAGE_ROWS_MAX, Paging, TaskFilter};

/// Messages of a page: as many as Slack advises.
const MESSAGES_OF_PAGE: &str = "200";

fn seconds(work: &Work<'_>) -> String {
    format!("{}.000000", work.from.as_ms() / 1000)
}

/// One page of a channel; the threads in it, and the next page.
pub(super) async fn channel(work: &mut Work<'_>, channel: &str, cursor: Option<&str>) -> Result<Vec<Step>, Halt> {
    let oldest = seconds(work);
    let query = [("channel", channel), ("oldest", &*oldest)];
    let (messages, next) = page(work, "conversations.history", &query, cursor).await?;
    let mut more = Vec::new();
    // Newest first, as they are told: they are said in their order.
    for message in messages.iter().rev() {
        say(work, channel, message);
        let replies = message["reply_count"].as_u64().unwrap_or_default();
        if let Some(ts) = word_at(message, "/ts").filter(|_| replies > 0) {
            more.push(Step::Thread { channel: channel.to_owned(), ts, cursor: None });
        }
    }
    more.extend(next.map(|cursor| Step::Channel { channel: channel.to_owned(), cursor: Some(cursor) }));
    Ok(more)
}

/// One page of a thread, and the next.
pub(super) async fn thread(
    work: &mut Work<'_>,
    channel: &str,
    ts: &str,
    cursor: Option<&str>,
) -> Result<Vec<Step>, Halt> {
    let oldest = seconds(work);
    let query = [("channel", channel), ("ts", ts), ("oldest", &*oldest)];
    let (messages, next) = match page(work, "conversations.replies", &query, cursor).await {
        // It was deleted, with all that stood below it.
        Err(Halt::Gone(_)) => return Ok(Vec::new()),
        page => page?,
    };
    // The root comes with every page, however old it is.
    for message in messages.iter().filter(|message| message["ts"] != ts) {
        say(work, channel, message);
    }
    let next = next.map(|cursor| Step::Thread { channel: channel.to_owned(), ts: ts.to_owned(), cursor: Some(cursor) });
    Ok(next.into_iter().collect())
}

async fn page(
    work: &Work<'_>,
    method: &str,
    query: &[(&str, &str)],
    cursor: Option<&str>,
) -> Result<(Vec<Value>, Option<String>), Halt> {
    let mut query = query.to_vec();
    query.extend([("limit", MESSAGES_OF_PAGE), ("include_all_metadata", "true")]);
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let page = work.way.get(&[method], &query).await?;
    let next = word_at(&page, "/response_metadata/next_cursor").filter(|_| page["has_more"] != false);
    if next.is_some() && next.as_deref() == cursor {
        return Err(Halt::nonsense("the provider gave the same page token twice"));
    }
    Ok((rows_at(&page, "/messages")?.to_vec(), next))
}

/// Tells of a message what was not heard of it.
fn say(work: &mut Work<'_>, channel: &str, message: &Value) {
    let Some(ts) = word_at(message, "/ts").filter(|_| is_said(message)) else { return };
    let text = slack_to_plain(message["text"].as_str().unwrap_or_default(), &Ids);
    let id = post_id(channel, &ts);
    match work.known.heard("post", &id, &text) {
        Heard::Alike => return,
        Heard::Not => put(work, channel, message, &ts),
        Heard::Otherwise => {
            let Some(edited) = word_at(message, "/edited/ts").filter(|_| !work.is_history) else { return };
            let change = json!({ "type": "message", "subtype": "message_changed", "hidden": true, "message": message });
            put(work, channel, &change, &edited);
        }
    }
    work.known.tell("post", &id, &text);
}

/// Notices of who came and went are told by events of other kinds.
fn is_said(message: &Value) -> bool {
    let subtype = message["subtype"].as_str().unwrap_or_default();
    message["type"] == "message"
        && matches!(subtype, "" | "thread_broadcast" | "file_share" | "me_message" | "bot_message")
}

/// As the Events API would have brought it.
fn put(work: &mut Work<'_>, channel: &str, message: &Value, ts: &str) {
    let mut event = message.clone();
    for (field, value) in [("channel", channel), ("ts", ts), ("event_ts", ts), ("channel_type", "channel")] {
        event[field] = json!(value);
    }
    let team = &work.way.link.external_id;
    work.feed.put(&json!({ "type": "event_callback", "team_id": team, "event": event }), &[]);
}

impl Connections {
    /// The threads of a channel that tasks are discussed in, those of open tasks.
    pub(super) async fn threads_of(&self, tenant: &str, channel: &str) -> Result<Vec<String>, Halt> {
        let mut threads = Vec::new();
        let mut paging = Paging { limit: PAGE_ROWS_MAX, after: None };
        loop {
            let page = self.store.tasks().list(tenant, &TaskFilter::default(), &paging).await?;
            let tasks = page.rows.into_iter().filter_map(|row| serde_json::from_value::<Task>(row).ok());
            let here = tasks.filter(|task| task.channel_id.as_deref() == Some(channel) && !task.deleted);
            threads.extend(here.filter_map(|task| task.thread_ts));
            match page.next.filter(|_| threads.len() < STEPS_MAX) {
                Some(next) => paging.after = Some(next),
                None => return Ok(threads),
            }
        }
    }
}
