//! Messages: said, changed, taken back, whispered.

use pipeline::event::MirrorPlace;
use reqwest::Method;
use serde_json::{Value, json};
use udfs::markup::{Body, Dialect, Part};

use super::{Slack, channel, channel_of, find};
use crate::{
    capability::{
        Write,
        write::{Chat, Face, Found},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl Write for Slack {
    fn dialect(&self) -> Dialect {
        Dialect::Slack
    }

    fn shows_author(&self) -> bool {
        true
    }

    fn scope<'p>(&self, place: &'p MirrorPlace) -> Option<&'p str> {
        channel_of(place).ok().map(|(channel, _)| channel)
    }

    /// What began a thread has its further parts in it.
    fn place_of_parts(&self, place: &MirrorPlace, first: &str) -> MirrorPlace {
        match channel_of(place) {
            Ok((channel, None)) => self.place(channel, Some(first)),
            _ => place.clone(),
        }
    }

    fn thread(&self, place: &MirrorPlace) -> Option<String> {
        channel_of(place).ok()?.1.map(str::to_owned)
    }

    fn post<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        part: &'a Part,
        face: &'a Face,
    ) -> Asking<'a, String> {
        Box::pin(async move {
            let (channel, thread) = channel_of(place)?;
            post(client, channel, thread, part, face).await
        })
    }

    fn edit<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        id: &'a str,
        part: &'a Part,
    ) -> Asking<'a, ()> {
        Box::pin(async move { edit(client, channel_of(place)?.0, id, part).await })
    }

    fn remove<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move { remove(client, channel_of(place)?.0, id).await })
    }

    fn find<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        command: &'a str,
        since_ms: u64,
    ) -> Asking<'a, Vec<Found>> {
        Box::pin(async move {
            let (channel, thread) = channel_of(place)?;
            find::find(client, channel, thread, command, since_ms).await
        })
    }

    fn chat(&self) -> Option<&dyn Chat> {
        Some(self)
    }
}

impl Chat for Slack {
    fn place(&self, channel: &str, thread: Option<&str>) -> MirrorPlace {
        MirrorPlace::Slack { channel_id: channel.to_owned(), thread_ts: thread.map(str::to_owned) }
    }

    fn whisper<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        user: &'a str,
        part: &'a Part,
    ) -> Asking<'a, String> {
        Box::pin(async move {
            let (channel, thread) = channel_of(place)?;
            whisper(client, channel, thread, user, part).await
        })
    }

    fn create_channel<'a>(
        &'a self,
        client: &'a ProviderClient,
        name: &'a str,
        unsure_since_ms: Option<u64>,
    ) -> Asking<'a, String> {
        Box::pin(channel::create(client, name, unsure_since_ms))
    }
}

/// Says something in a channel or a thread; its `ts`.
pub(super) async fn post(
    client: &ProviderClient,
    channel: &str,
    thread: Option<&str>,
    part: &Part,
    face: &Face,
) -> Result<String, ProviderError> {
    let mut message = contents(channel, part);
    let fields = [("thread_ts", thread), ("username", face.name.as_deref()), ("icon_url", face.avatar.as_deref())];
    for (field, value) in fields {
        if let Some(value) = value {
            message[field] = json!(value);
        }
    }
    let request = client.request(Method::POST, client.url(&["chat.postMessage"])?).json(&message);
    let answer = client.ask(request, Some(channel)).await?;
    word_at(&answer, "/ts").ok_or_else(|| ProviderError::may_have_landed("the answer names no ts"))
}

/// Says something else instead.
pub(super) async fn edit(client: &ProviderClient, channel: &str, ts: &str, part: &Part) -> Result<(), ProviderError> {
    let mut message = contents(channel, part);
    message["ts"] = json!(ts);
    let mut request = client.request(Method::POST, client.url(&["chat.update"])?).json(&message);
    request.is_repeatable = true;
    client.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(super) async fn remove(client: &ProviderClient, channel: &str, ts: &str) -> Result<(), ProviderError> {
    let mut request =
        client.request(Method::POST, client.url(&["chat.delete"])?).json(&json!({"channel": channel, "ts": ts}));
    request.is_repeatable = true;
    client.ask(request, None).await.map(|_| ())
}

/// Tells one person something that nobody else sees, and that is kept nowhere.
pub(super) async fn whisper(
    client: &ProviderClient,
    channel: &str,
    thread: Option<&str>,
    user: &str,
    part: &Part,
) -> Result<String, ProviderError> {
    let mut message = contents(channel, part);
    message["user"] = json!(user);
    if let Some(thread) = thread {
        message["thread_ts"] = json!(thread);
    }
    let request = client.request(Method::POST, client.url(&["chat.postEphemeral"])?).json(&message);
    let answer = client.ask(request, Some(channel)).await?;
    word_at(&answer, "/message_ts").ok_or_else(|| ProviderError::may_have_landed("the answer names no ts"))
}

/// Links are not unfolded: a mirrored message would show what the original does.
fn contents(channel: &str, part: &Part) -> Value {
    let text = match &part.body {
        Body::Text(text) => text.as_str(),
        Body::Json(_) => part.visible.as_str(),
    };
    let mut message = json!({"channel": channel, "text": text, "unfurl_links": false, "unfurl_media": false});
    if let Some(metadata) = &part.metadata {
        message["metadata"] = metadata.clone();
    }
    message
}
