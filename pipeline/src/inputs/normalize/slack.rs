//! Slack: the Events API, interactive payloads and slash commands.
//!
//! One post is one MessagePosted, however it is told: as `message`, as
//! `app_mention`, or again under a new `event_id`. A `message_changed` that
//! leaves the text as it was (an unfurled link, a reply below a deleted root)
//! is `Other`: visible to analysts, told to nobody.

use std::borrow::Cow;

use serde::Deserialize;
use udfs::{
    hash::Parts,
    markup::{Ids, origin, slack_to_plain, slack_to_plain_and_markdown},
};

use crate::{
    draft::Draft,
    event::{Actor, ActorKind, EventType, Message, ProjectRef, StandardEvent, Trust},
    inputs::normalize::{
        Rejected,
        lenient::{Flag, LenientText, Maybe, Moment, Named, Raw},
        request::{Request, Said, actor, malformed, may_have_mark, mentions, parse, set_mark, subject, without_code},
    },
};

/// Slack's own account, which speaks for the workspace.
const SLACKBOT: &str = "USLACKBOT";

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct SlackEnvelope<'a> {
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    team_id: LenientText<'a>,
    enterprise_id: LenientText<'a>,
    event_id: LenientText<'a>,
    event_time: Moment,
    is_ext_shared_channel: Flag,
    event: Raw<'a>,
    // Interactive payloads have these instead of an event.
    user: Named<'a, SlackUser<'a>>,
    channel: Named<'a, Channel<'a>>,
    team: Named<'a, Team<'a>>,
    trigger_id: LenientText<'a>,
    action_ts: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    subtype: LenientText<'a>,
    channel: Named<'a, Channel<'a>>,
    user: Named<'a, SlackUser<'a>>,
    bot_id: LenientText<'a>,
    username: LenientText<'a>,
    bot_profile: Maybe<BotProfile<'a>>,
    text: LenientText<'a>,
    ts: LenientText<'a>,
    thread_ts: LenientText<'a>,
    metadata: Raw<'a>,
    event_ts: LenientText<'a>,
    deleted_ts: LenientText<'a>,
    team: Named<'a, Team<'a>>,
    user_team: LenientText<'a>,
    source_team: LenientText<'a>,
    message: Maybe<Post<'a>>,
    previous_message: Maybe<Post<'a>>,
    // Of a post that was read afterwards, not of one that was sent.
    edited: Maybe<Edited<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Post<'a> {
    user: Named<'a, SlackUser<'a>>,
    bot_id: LenientText<'a>,
    username: LenientText<'a>,
    bot_profile: Maybe<BotProfile<'a>>,
    text: LenientText<'a>,
    ts: LenientText<'a>,
    thread_ts: LenientText<'a>,
    metadata: Raw<'a>,
    team: LenientText<'a>,
    user_team: LenientText<'a>,
    source_team: LenientText<'a>,
    edited: Maybe<Edited<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Edited<'a> {
    ts: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct SlackUser<'a> {
    id: LenientText<'a>,
    name: LenientText<'a>,
    username: LenientText<'a>,
    is_stranger: Flag,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct BotProfile<'a> {
    name: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Channel<'a> {
    id: LenientText<'a>,
    name: LenientText<'a>,
    creator: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Team<'a> {
    id: LenientText<'a>,
}

/// The event of a Slack request.
pub(super) fn read(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    if request.is_form() {
        return read_form(request).map(|draft| vec![draft]);
    }
    let envelope: SlackEnvelope<'_> = request.parse()?;
    let draft = match envelope.event.get() {
        Some(event) => read_event(request, &envelope, parse(event, "slack event")?),
        None if envelope.kind.get().is_none() => {
            return Err(Rejected::new("the slack body has neither type nor event"));
        }
        None => interaction(request, &envelope, request.body),
    };
    Ok(vec![draft])
}

fn read_event(request: &Request<'_>, envelope: &SlackEnvelope<'_>, event: Event<'_>) -> Draft {
    let kind = kind_of(&event);
    let at_ms =
        event.event_ts.or(&event.ts).and_then(crate::inputs::normalize::times::from_text).or(envelope.event_time.0);
    let name = match (event.kind.get(), event.subtype.get()) {
        (Some(kind), Some(subtype)) => Cow::Owned(format!("{kind}.{subtype}")),
        (kind, _) => Cow::Borrowed(kind.unwrap_or("unknown")),
    };
    let said = Said { event: &name, at_ms, delivery: envelope.event_id.get(), ..Said::default() };
    let mut draft = request.draft(kind, &said);
    let channel = event.channel.get(|channel| channel.id.get());
    draft.event.project = place(channel, event.channel.full().and_then(|channel| channel.name.get()));
    match kind {
        EventType::MessagePosted => {
            draft.event.actor = author(&event.user, &event.bot_id, &event.username, &event.bot_profile);
            let teams = [event.user_team.get(), event.source_team.get(), event.team.get(|team| team.id.get())];
            judge(&mut draft.event.actor, &event.user, envelope, teams);
            draft.event.subject = subject("message", event.ts.get(), None);
            say(&mut draft.event, &event.text, event.thread_ts.get(), channel);
            note_mark(&mut draft.event, &event.metadata);
        }
        EventType::MessageChanged | EventType::MessageDeleted => {
            let post = event.message.get().or(event.previous_message.get());
            let ts = event.deleted_ts.get().or_else(|| post.and_then(|post| post.ts.get()));
            draft.event.subject = subject("message", ts, None);
            if let Some(post) = post {
                draft.event.actor = author(&post.user, &post.bot_id, &post.username, &post.bot_profile);
                let teams = [post.user_team.get(), post.source_team.get(), post.team.get()];
                judge(&mut draft.event.actor, &post.user, envelope, teams);
                say(&mut draft.event, &post.text, post.thread_ts.get(), channel);
                note_mark(&mut draft.event, &post.metadata);
            }
            if kind == EventType::MessageDeleted {
                // What a deleted message said calls nobody.
                draft.event.mentions.clear();
            }
        }
        EventType::ChannelCreated => {
            let creator = event.channel.full().and_then(|channel| channel.creator.get());
            draft.event.actor = actor(ActorKind::Human, creator, None, None);
            draft.event.subject = subject("channel", channel, None);
        }
        _ => {
            draft.event.actor = author(&event.user, &event.bot_id, &event.username, &event.bot_profile);
            draft.event.subject = match (&kind, event.ts.get()) {
                (EventType::Other, Some(ts)) => subject("message", Some(ts), None),
                _ => subject("channel", channel, None),
            };
        }
    }
    draft.marks = marks(request, envelope, &event, kind, channel);
    draft
}

fn kind_of(event: &Event<'_>) -> EventType {
    match (event.kind.or_empty(), event.subtype.or_empty()) {
        ("app_mention", _) => EventType::MessagePosted,
        ("message", "" | "thread_broadcast" | "file_share" | "me_message" | "bot_message") => EventType::MessagePosted,
        ("message", "message_changed") if says_the_same(event) => EventType::Other,
        ("message", "message_changed") => EventType::MessageChanged,
        ("message", "message_deleted") => EventType::MessageDeleted,
        ("channel_created", _) => EventType::ChannelCreated,
        // The events of private channels begin with `group`.
        ("channel_rename" | "group_rename", _) => EventType::ProjectUpdated,
        ("channel_archive" | "group_archive", _) => EventType::ProjectArchived,
        _ => EventType::Other,
    }
}

fn says_the_same(event: &Event<'_>) -> bool {
    match (event.message.get(), event.previous_message.get()) {
        (Some(now), Some(before)) => now.text.get() == before.text.get(),
        _ => false,
    }
}

/// A repeat is known by the event's id, and a post, an edit or a deletion also
/// by what it is about, since Slack repeats them under new ids.
fn marks(
    request: &Request<'_>,
    envelope: &SlackEnvelope<'_>,
    event: &Event<'_>,
    kind: EventType,
    channel: Option<&str>,
) -> Vec<u128> {
    let team = envelope.team_id.or(&envelope.enterprise_id).unwrap_or_default();
    let id = envelope.event_id.get().or(request.webhook.delivery_id.as_deref());
    let mut marks = Vec::with_capacity(2);
    if let Some(id) = id {
        marks.push(request.mark("slack.event").add(id).finish());
    }
    let about = |what: &str| request.mark(what).add(team).add(channel.unwrap_or_default());
    let ts = event.ts.or_empty();
    match kind {
        EventType::MessagePosted if !ts.is_empty() && channel.is_some() => {
            marks.push(about("slack.post").add(ts).finish());
            // Whoever reads it as it is now knows of its last edit, too.
            marks.extend(edit_mark(about("slack.edited"), ts, &event.edited, &event.text));
        }
        EventType::MessageChanged if !ts.is_empty() => {
            let post = event.message.get();
            let edited = post.and_then(|post| post.edited.get()).map_or("", |edited| edited.ts.or_empty());
            let of = post.map_or("", |post| post.ts.or_empty());
            marks.push(about("slack.edit").add(ts).add(of).add(edited).finish());
            if let Some(post) = post {
                marks.extend(edit_mark(about("slack.edited"), of, &post.edited, &post.text));
            }
        }
        EventType::MessageDeleted => {
            if let Some(deleted) = event.deleted_ts.or(&event.ts) {
                marks.push(about("slack.deletion").add(deleted).finish());
            }
        }
        _ => {}
    }
    if marks.is_empty() {
        marks.push(request.content_mark(request.body));
    }
    marks
}

/// By what an edit is known that was not told of: its own `ts` is told by its
/// event alone. Slack dates edits to the second, so the words are a part of it.
fn edit_mark(about: Parts, of: &str, edited: &Maybe<Edited<'_>>, text: &LenientText<'_>) -> Option<u128> {
    let at = edited.get()?.ts.get()?;
    Some(about.add(of).add(at).add(text.or_empty()).finish())
}

fn author(
    user: &Named<'_, SlackUser<'_>>,
    bot: &LenientText<'_>,
    shown: &LenientText<'_>,
    profile: &Maybe<BotProfile<'_>>,
) -> Option<Actor> {
    let id = user.get(|user| user.id.get());
    let name = shown
        .get()
        .or_else(|| profile.get().and_then(|profile| profile.name.get()))
        .or_else(|| user.full().and_then(|user| user.username.or(&user.name)));
    let kind = match (bot.get(), id) {
        (Some(_), _) => ActorKind::Bot,
        (None, Some(SLACKBOT)) => ActorKind::System,
        (None, None) if shown.get().is_some() => ActorKind::Bot,
        _ => ActorKind::Human,
    };
    actor(kind, id.or(bot.get()), name, None)
}

/// Whether an author is of the workspace, as far as the payload tells: by the
/// author's own team; in a channel shared with others, never by the post's.
fn judge(
    actor: &mut Option<Actor>,
    user: &Named<'_, SlackUser<'_>>,
    envelope: &SlackEnvelope<'_>,
    teams: [Option<&str>; 3],
) {
    let Some(actor) = actor.as_mut().filter(|actor| actor.kind == ActorKind::Human) else { return };
    let [own, source, post] = teams;
    let team = own.or(source).or(post.filter(|_| !envelope.is_ext_shared_channel.0));
    let ours = [envelope.team_id.get(), envelope.enterprise_id.get()];
    actor.trust = match team {
        _ if user.full().is_some_and(|user| user.is_stranger.0) => Trust::External,
        None => Trust::Unknown,
        Some(_) if ours.contains(&team) => Trust::Member,
        // Without a team of ours there is nothing to compare with.
        Some(_) if ours == [None, None] => Trust::Unknown,
        Some(_) => Trust::External,
    };
}

fn place(channel: Option<&str>, name: Option<&str>) -> Option<ProjectRef> {
    let slack_channel_id = Some(channel?.to_owned());
    Some(ProjectRef { slack_channel_id, name: name.map(str::to_owned), ..ProjectRef::default() })
}

fn say(event: &mut StandardEvent, text: &LenientText<'_>, thread_ts: Option<&str>, channel: Option<&str>) {
    let said = text.or_empty();
    let (text, markdown) =
        if is_bare(said) { (said.to_owned(), said.to_owned()) } else { slack_to_plain_and_markdown(said, &Ids) };
    match without_code(said, false) {
        Cow::Borrowed(_) => mentions(&text, &mut event.mentions),
        Cow::Owned(words) => mentions(&slack_to_plain(&words, &Ids), &mut event.mentions),
    }
    event.message = Some(Message {
        text,
        markdown: Some(markdown).filter(|markdown| !markdown.is_empty()),
        thread_ts: thread_ts.map(str::to_owned),
        channel_id: channel.map(str::to_owned),
        ..Message::default()
    });
}

/// A mark of ours, which is in the message's metadata.
fn note_mark(event: &mut StandardEvent, metadata: &Raw<'_>) {
    // What cannot be read as JSON is not ours.
    let Some(metadata) = metadata.get().filter(|raw| may_have_mark(raw)).and_then(|raw| serde_json::from_str(raw).ok())
    else {
        return;
    };
    set_mark(event, origin::find_in_metadata(&metadata));
}

/// Words without any markup: most of what people write, and the same in every
/// notation.
fn is_bare(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" .,?!'\"()/@".contains(&byte)) && text.trim() == text
}

/// A button, a form, a shortcut, or a notice about the app itself.
fn interaction(request: &Request<'_>, payload: &SlackEnvelope<'_>, content: &str) -> Draft {
    let at_ms = payload.action_ts.get().and_then(crate::inputs::normalize::times::from_text);
    let name = payload.kind.get().unwrap_or("unknown");
    let said = Said { event: name, at_ms, delivery: payload.trigger_id.get(), ..Said::default() };
    let mut draft = request.draft(EventType::Other, &said);
    let (nobody, nothing) = (LenientText::default(), Maybe::default());
    draft.event.actor = author(&payload.user, &nobody, &nobody, &nothing);
    let channel = payload.channel.get(|channel| channel.id.get());
    draft.event.project = place(channel, payload.channel.full().and_then(|channel| channel.name.get()));
    let team = payload.team_id.get().or_else(|| payload.team.get(|team| team.id.get()));
    draft.event.subject = subject("workspace", team, None);
    draft.marks.push(request.content_mark(content));
    draft
}

fn read_form(request: &Request<'_>) -> Result<Draft, Rejected> {
    let field = |name: &str| udfs::form::field(request.body, name).ok().flatten();
    if let Some(payload) = field("payload") {
        let parsed: SlackEnvelope<'_> =
            serde_json::from_str(&payload).map_err(|error| malformed("slack payload", &error))?;
        return Ok(interaction(request, &parsed, &payload));
    }
    let command = field("command").ok_or_else(|| Rejected::new("the slack form has neither payload nor command"))?;
    let trigger = field("trigger_id");
    let said = Said { event: "slash_command", delivery: trigger.as_deref(), ..Said::default() };
    let mut draft = request.draft(EventType::Other, &said);
    draft.event.actor = actor(ActorKind::Human, field("user_id").as_deref(), field("user_name").as_deref(), None);
    let channel = field("channel_id");
    draft.event.project = place(channel.as_deref(), field("channel_name").as_deref());
    draft.event.subject = subject("command", Some(&command), None);
    let text = format!("{command} {}", field("text").unwrap_or_default());
    draft.event.message = Some(Message {
        text: text.trim_end().to_owned(),
        channel_id: channel.as_deref().map(str::to_owned),
        ..Message::default()
    });
    draft.marks.push(request.content_mark(request.body));
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bare_words_are_the_same_in_every_notation(text in "[a-zA-Z0-9 .,?!'\"()/@]{0,40}") {
            prop_assume!(is_bare(&text));
            prop_assert_eq!(&slack_to_plain(&text, &Ids), &text);
            prop_assert_eq!(&slack_to_plain_and_markdown(&text, &Ids).1, &text);
        }
    }
}
