//! What is said, by whom, and with which link back.

use udfs::{
    hash::hex,
    markup::{Document, notices, origin},
};

use crate::{
    draft::Draft,
    event::{
        Actor, ActorKind, Message, MirrorAuthor, MirrorLink, MirrorPlace, MirrorText, StandardEvent, Task, TaskState,
    },
    stages::track::beginning,
    state::index::Index,
};

/// A task's description as far as it stands in the thread's root message.
const DESCRIPTION_BYTES_MAX: usize = 1_000;

/// The providers as people write them.
pub fn label(provider: &str) -> &str {
    match provider {
        "slack" => "Slack",
        "clickup" => "ClickUp",
        "github" => "GitHub",
        "jira" => "Jira",
        other => other,
    }
}

/// What an event's author said. A review without words says what it decided.
pub fn of_event(event: &StandardEvent) -> Option<MirrorText> {
    let message = event.message.as_ref()?;
    let (markdown, plain) = match &message.markdown {
        // A mark that somebody copied goes no further.
        Some(markdown) if message.mark.is_some() => (origin::strip(markdown).into_owned(), false),
        Some(markdown) => (markdown.clone(), false),
        None => (message.text.clone(), event.source.provider != "nexus"),
    };
    let (markdown, plain) = match event.changes.iter().find(|change| change.field == "review") {
        Some(change) if markdown.trim().is_empty() => {
            let decided = change.after.as_ref().and_then(|after| after.as_str());
            (notices::changed("review", None, decided, None).to_markdown(), false)
        }
        _ => (markdown, plain),
    };
    let footer =
        link_to(event).map(|url| MirrorLink { label: format!("View in {}", label(&event.source.provider)), url });
    Some(MirrorText { markdown, plain, from: event.source.provider.clone(), footer })
}

/// The page of a message or comment.
fn link_to(event: &StandardEvent) -> Option<String> {
    let subject = event.subject.as_ref()?;
    match &*event.source.provider {
        "slack" => slack_page(event.message.as_ref()?.channel_id.as_deref()?, subject.external_id.as_deref()?),
        "nexus" => None,
        _ => subject.url.clone(),
    }
}

/// Slack leads whoever is signed in from here to the message.
pub fn slack_page(channel: &str, ts: &str) -> Option<String> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = ts.replace('.', "");
    (plain(channel) && plain(&number)).then(|| format!("https://slack.com/archives/{channel}/p{number}"))
}

/// What the hub itself says.
pub fn notice(document: &Document) -> MirrorText {
    MirrorText { markdown: document.to_markdown(), plain: false, from: "nexus".to_owned(), footer: None }
}

/// The message that a task's thread hangs from.
pub fn root(task: &Task) -> MirrorText {
    let title = task.title.as_deref().unwrap_or(&task.external_id);
    let description = beginning(task.description.as_deref().unwrap_or_default(), DESCRIPTION_BYTES_MAX);
    let words = match &*task.provider {
        "clickup" => Document::from_plain(&description),
        _ => Document::from_markdown(&description),
    };
    let footer = task.url.clone().map(|url| MirrorLink { label: format!("Open in {}", label(&task.provider)), url });
    let markdown = notices::under_name(title, Some(label(&task.provider)), words).to_markdown();
    MirrorText { markdown, plain: false, from: task.provider.clone(), footer }
}

/// Under whose name an event's words go.
pub fn author(index: Option<&Index>, event: &StandardEvent) -> Option<MirrorAuthor> {
    let actor = event.actor.as_ref()?;
    let card = actor.agent_id.as_deref().and_then(|agent| index?.card(agent));
    Some(MirrorAuthor {
        kind: actor.kind,
        name: card.map(|card| card.name.clone()).or_else(|| actor.name.clone()),
        avatar: card.and_then(|card| card.avatar.clone()),
        provider: event.source.provider.clone(),
        external_id: actor.external_id.clone(),
        agent_id: actor.agent_id.clone(),
    })
}

/// A name to show for who did it.
pub fn name_of<'a>(index: Option<&'a Index>, actor: Option<&'a Actor>) -> Option<&'a str> {
    let actor = actor?;
    let card = actor.agent_id.as_deref().and_then(|agent| index?.card(agent));
    card.map(|card| &*card.name).or(actor.name.as_deref())
}

/// What of an author's message tells an echo where nothing else does.
pub fn hash_of(event: &StandardEvent) -> Option<String> {
    let Message { text, markdown, .. } = event.message.as_ref()?;
    let document = match (&*event.source.provider, markdown) {
        ("github", Some(markdown)) => Document::from_github(markdown),
        (_, Some(markdown)) => Document::from_markdown(markdown),
        (_, None) => Document::from_plain(text),
    };
    Some(hex(document.content_hash()))
}

/// Where a task's comments are at its provider.
pub fn home_of(task: &Task) -> Option<MirrorPlace> {
    match &*task.provider {
        "clickup" => Some(MirrorPlace::Clickup { task_id: task.external_id.clone() }),
        "jira" => Some(MirrorPlace::Jira { issue: task.external_id.clone() }),
        "github" => {
            let (repository, number) = task.external_id.rsplit_once('#')?;
            Some(MirrorPlace::Github { repository: repository.to_owned(), number: number.parse().ok()? })
        }
        _ => None,
    }
}

/// The provider's word for a state: of the project's map the one that is usual,
/// else the first; without one what every project of the provider has.
pub fn status_word(draft: &Draft, provider: &str, state: TaskState) -> Option<String> {
    let map = draft.facts.place.as_ref().map(|place| &place.status_map);
    let mapped = map.into_iter().flatten().filter(|(_, known)| **known == state).map(|(word, _)| word);
    let usual = |word: &&String| TaskState::of_status(word, None) == Some(state);
    let mapped: Vec<&String> = mapped.collect();
    let chosen = mapped.iter().copied().find(usual).or(mapped.first().copied()).cloned();
    match (chosen, provider, state) {
        (Some(word), ..) => Some(word),
        (None, "github", TaskState::Done) => Some("closed".to_owned()),
        (None, "github", _) => Some("open".to_owned()),
        _ => None,
    }
}

/// Whether it is a person who speaks.
pub fn is_person(event: &StandardEvent) -> bool {
    event.actor.as_ref().is_some_and(|actor| actor.kind == ActorKind::Human)
}
