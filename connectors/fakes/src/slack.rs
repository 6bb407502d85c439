//! Slack's Web API, below `/slack/api`: always a 200, with `ok` inside, except
//! where a channel gets more than its message a second. What is said, changed
//! and taken away here is told to the apps that listen.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value, json};

use super::{
    Fakes, World, auth,
    slack_events::{changed, deleted, posted},
    tell::{self, Told},
    world::SLACK_TEAM,
};

/// Characters of a message's text; what is beyond is cut.
const TEXT_CHARS_MAX: usize = 40_000;
const BLOCKS_MAX: usize = 50;
/// Characters of all blocks together, at which the real one refuses.
const BLOCKS_CHARS_MAX: usize = 13_000;

/// What a call may say, form-encoded or as JSON.
const FIELDS: &[&str] = &[
    "channel",
    "text",
    "blocks",
    "metadata",
    "thread_ts",
    "reply_broadcast",
    "ts",
    "user",
    "username",
    "icon_url",
    "limit",
    "cursor",
    "oldest",
    "latest",
    "inclusive",
    "include_all_metadata",
    "types",
    "exclude_archived",
    "name",
];

pub(super) fn routes() -> Router<Fakes> {
    Router::new().route("/api/{method}", get(call).post(call))
}

/// A good answer, or the name of an error.
type Said = Result<Value, &'static str>;

async fn call(
    State(fakes): State<Fakes>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let args = args(&headers, query.as_deref().unwrap_or_default(), &body);
    if method == "oauth.v2.access" {
        let fields = super::oauth::fields(&headers, &body);
        return Json(super::oauth::exchange(&mut fakes.world(), "slack", &fields)).into_response();
    }
    let mut told = Vec::new();
    let answer = answer(&fakes, &method, &headers, &args, &mut told);
    tell::send_all(&fakes, told);
    answer
}

fn answer(fakes: &Fakes, method: &str, headers: &HeaderMap, args: &Value, told: &mut Vec<Told>) -> Response {
    let now_ms = fakes.now_ms();
    let mut world = fakes.world();
    if let Err(bad) = auth::token(&world, "slack", headers) {
        return refusal(match bad {
            auth::Bad::Missing => "not_authed",
            auth::Bad::Unknown => "invalid_auth",
        });
    }
    if method == "chat.postMessage"
        && let Some(count) = auth::count(&mut world, "slack", text(args, "channel"), now_ms)
        && count.left.is_none()
    {
        let mut refused = (StatusCode::TOO_MANY_REQUESTS, refusal("ratelimited")).into_response();
        let seconds = count.reset_ms.saturating_sub(now_ms).div_ceil(1000).max(1);
        refused.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        return refused;
    }
    let said = match method {
        "auth.test" => Ok(json!({
            "url": "https://orchard.slack.example/", "team": "Orchard", "user": "nexus", "team_id": SLACK_TEAM,
            "user_id": "U0NEXUS", "bot_id": "B0NEXUS", "is_enterprise_install": false,
        })),
        "chat.postMessage" => post(&mut world, args, now_ms, told),
        "chat.postEphemeral" => whisper(&mut world, args, now_ms),
        "chat.update" => update(&mut world, args, now_ms, told),
        "chat.delete" => delete(&mut world, args, now_ms, told),
        "conversations.create" => create(&mut world, args, now_ms),
        "conversations.list" => Ok(list(&world, args)),
        "conversations.info" => channel(&world, args).map(|channel| json!({"channel": channel})),
        "conversations.history" => read(&world, args, false),
        "conversations.replies" => read(&world, args, true),
        "users.info" => {
            let user = world.slack_users.get(text(args, "user"));
            user.map(|user| json!({"user": user})).ok_or("user_not_found")
        }
        _ => Err("unknown_method"),
    };
    match said {
        Ok(mut json) => {
            json["ok"] = json!(true);
            Json(json).into_response()
        }
        Err(error) => refusal(error),
    }
}

fn refusal(error: &str) -> Response {
    Json(json!({"ok": false, "error": error})).into_response()
}

/// What a call says, wherever it says it.
fn args(headers: &HeaderMap, query: &str, body: &[u8]) -> Value {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let body = std::str::from_utf8(body).unwrap_or_default();
    let mut args = Map::new();
    for name in FIELDS {
        let field = |form: &str| udfs::form::field(form, name).ok().flatten().map(std::borrow::Cow::into_owned);
        let Some(value) = field(body).or_else(|| field(query)) else { continue };
        // In a form these two are JSON in a text.
        let value = match *name {
            "blocks" | "metadata" => serde_json::from_str(&value).unwrap_or_default(),
            _ => json!(value),
        };
        args.insert((*name).to_owned(), value);
    }
    Value::Object(args)
}

fn text<'a>(args: &'a Value, field: &str) -> &'a str {
    args[field].as_str().unwrap_or_default()
}

fn is_set(args: &Value, field: &str) -> bool {
    args[field] == true || matches!(text(args, field), "true" | "1")
}

fn channel<'w>(world: &'w World, args: &Value) -> Result<&'w Value, &'static str> {
    match world.slack_channels.get(text(args, "channel")) {
        None => Err("channel_not_found"),
        Some(channel) if channel["is_archived"] == true => Err("is_archived"),
        Some(channel) if channel["is_member"] == false => Err("not_in_channel"),
        Some(channel) => Ok(channel),
    }
}

/// The time, and a number that nothing else of this millisecond has.
fn ts(world: &mut World, now_ms: u64) -> String {
    format!("{}.{:03}{:03}", now_ms / 1000, now_ms % 1000, world.number() % 1000)
}

fn create(world: &mut World, args: &Value, now_ms: u64) -> Said {
    let name = text(args, "name");
    let is_plain = |char: char| char.is_lowercase() || char.is_numeric() || matches!(char, '-' | '_');
    if name.is_empty() || name.chars().count() > 80 || !name.chars().all(is_plain) {
        return Err("invalid_name_specials");
    }
    if world.slack_channels.all().any(|channel| channel["name"] == name) {
        return Err("name_taken");
    }
    let id = format!("C0FAKE{:04}", world.number());
    let channel = json!({
        "id": id, "name": name, "is_channel": true, "is_private": false, "is_archived": false, "is_member": true,
        "created": now_ms / 1000, "creator": "U0NEXUS",
    });
    world.slack_channels.put(&id, channel.clone());
    Ok(json!({"channel": channel}))
}

fn contents(args: &Value) -> Result<(String, Value), &'static str> {
    let (text, blocks) = (text(args, "text"), &args["blocks"]);
    let count = blocks.as_array().map_or(0, Vec::len);
    match () {
        () if text.is_empty() && count == 0 => Err("no_text"),
        () if count > BLOCKS_MAX => Err("invalid_blocks"),
        () if count > 0 && blocks.to_string().chars().count() > BLOCKS_CHARS_MAX => Err("msg_blocks_too_long"),
        () => Ok((text.chars().take(TEXT_CHARS_MAX).collect(), blocks.clone())),
    }
}

fn post(world: &mut World, args: &Value, now_ms: u64, told: &mut Vec<Told>) -> Said {
    let channel = channel(world, args)?["id"].as_str().unwrap_or_default().to_owned();
    let (text_, blocks) = contents(args)?;
    let mut message = json!({"type": "message", "text": text_, "bot_id": "B0NEXUS", "team": SLACK_TEAM});
    // Under a name of its own a bot's post has another shape, and no user.
    match args["username"].as_str() {
        Some(name) => {
            message["subtype"] = json!("bot_message");
            message["username"] = json!(name);
        }
        None => message["user"] = json!("U0NEXUS"),
    }
    if let Some(picture) = args["icon_url"].as_str() {
        message["icons"] = json!({"image_48": picture});
    }
    for (field, value) in [("blocks", &blocks), ("metadata", &args["metadata"]), ("thread_ts", &args["thread_ts"])] {
        if !value.is_null() {
            message[field] = value.clone();
        }
    }
    let message = say(world, &channel, message, now_ms, told);
    Ok(json!({"channel": channel, "ts": message["ts"], "message": message}))
}

/// Puts a message into a channel.
pub(super) fn say(world: &mut World, channel: &str, mut message: Value, now_ms: u64, told: &mut Vec<Told>) -> Value {
    let ts = ts(world, now_ms);
    message["ts"] = json!(ts);
    let mut kept = message.clone();
    kept["channel"] = json!(channel);
    world.slack_messages.put(&format!("{channel} {ts}"), kept);
    told.extend(posted(world, channel, &message));
    message
}

/// Changes a message, if it is there.
pub(super) fn reword(
    world: &mut World,
    (channel, ts_): (&str, &str),
    fields: &[(&str, &Value)],
    by: &str,
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    let at = ts(world, now_ms);
    let message = world.slack_messages.get_mut(&format!("{channel} {ts_}"))?;
    let before = message.clone();
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        message[*field] = (*value).clone();
    }
    message["edited"] = json!({"user": by, "ts": at});
    let after = message.clone();
    told.extend(changed(world, channel, &at, &before, &after));
    Some(without_channel(&after))
}

/// Takes a message away, if it is there.
pub(super) fn unsay(
    world: &mut World,
    (channel, ts_): (&str, &str),
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    let before = world.slack_messages.take(&format!("{channel} {ts_}"))?;
    let at = ts(world, now_ms);
    told.extend(deleted(world, channel, &at, &before));
    Some(before)
}

pub(super) fn without_channel(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut() {
        fields.remove("channel");
    }
    message
}

/// Seen by one person and kept nowhere.
fn whisper(world: &mut World, args: &Value, now_ms: u64) -> Said {
    channel(world, args)?;
    world.slack_users.get(text(args, "user")).ok_or("user_not_in_channel")?;
    contents(args)?;
    Ok(json!({"message_ts": ts(world, now_ms)}))
}

fn update(world: &mut World, args: &Value, now_ms: u64, told: &mut Vec<Told>) -> Said {
    channel(world, args)?;
    let (text_, blocks) = contents(args)?;
    let (channel, ts) = (text(args, "channel"), text(args, "ts"));
    let fields = [("text", &json!(text_)), ("blocks", &blocks), ("metadata", &args["metadata"])];
    let message = reword(world, (channel, ts), &fields, "B0NEXUS", now_ms, told).ok_or("message_not_found")?;
    Ok(json!({"channel": channel, "ts": ts, "text": text_, "message": message}))
}

fn delete(world: &mut World, args: &Value, now_ms: u64, told: &mut Vec<Told>) -> Said {
    channel(world, args)?;
    let (channel, ts) = (text(args, "channel"), text(args, "ts"));
    unsay(world, (channel, ts), now_ms, told).ok_or("message_not_found")?;
    Ok(json!({"channel": channel, "ts": ts}))
}

fn page<'a>(rows: impl Iterator<Item = &'a Value>, args: &Value, limit_default: usize) -> (Vec<&'a Value>, String) {
    let number = |field: &str| match &args[field] {
        Value::Number(number) => number.as_u64(),
        value => value.as_str().and_then(|text| text.parse().ok()),
    };
    let skip = number("cursor").unwrap_or_default() as usize;
    let limit = number("limit").map_or(limit_default, |limit| limit.clamp(1, 999) as usize);
    let mut rows: Vec<_> = rows.skip(skip).take(limit + 1).collect();
    let next = if rows.len() > limit { (skip + limit).to_string() } else { String::new() };
    rows.truncate(limit);
    (rows, next)
}

fn list(world: &World, args: &Value) -> Value {
    let all = !is_set(args, "exclude_archived");
    let (channels, next) = page(world.slack_channels.all().filter(|row| all || row["is_archived"] != true), args, 100);
    json!({"channels": channels, "response_metadata": {"next_cursor": next}})
}

/// A channel's messages, newest first, or a thread's, oldest first.
fn read(world: &World, args: &Value, is_thread: bool) -> Said {
    let channel = channel(world, args)?["id"].as_str().unwrap_or_default();
    let root = text(args, "ts");
    let (oldest, latest) = (text(args, "oldest"), text(args, "latest"));
    let is_inclusive = is_set(args, "inclusive");
    // Seconds have the same number of digits until 2286: texts compare alike.
    let within = |ts: &str| {
        (oldest.is_empty() || ts > oldest || (is_inclusive && ts == oldest))
            && (latest.is_empty() || ts < latest || (is_inclusive && ts == latest))
    };
    let is_wanted = |message: &&Value| {
        let (ts, thread) = (message["ts"].as_str().unwrap_or_default(), message["thread_ts"].as_str());
        let in_place =
            if is_thread { ts == root || thread == Some(root) } else { thread.is_none_or(|thread| thread == ts) };
        in_place && within(ts)
    };
    let wanted = world.slack_messages.with("channel", channel).filter(is_wanted);
    let (found, next) = if is_thread { page(wanted, args, 100) } else { page(wanted.rev(), args, 100) };
    if is_thread && found.is_empty() {
        return Err("thread_not_found");
    }
    let replies = |ts: &str| {
        let own = world.slack_messages.with("channel", channel);
        own.filter(|reply| reply["thread_ts"] == ts && reply["ts"] != ts).count()
    };
    let shown = |message: &Value| {
        let mut message = without_channel(message);
        let count = replies(message["ts"].as_str().unwrap_or_default());
        if count > 0 {
            message["reply_count"] = json!(count);
        }
        if !is_set(args, "include_all_metadata")
            && let Some(fields) = message.as_object_mut()
        {
            fields.remove("metadata");
        }
        message
    };
    let messages: Vec<_> = found.into_iter().map(shown).collect();
    Ok(json!({"messages": messages, "has_more": !next.is_empty(), "response_metadata": {"next_cursor": next}}))
}
