//! Comments: said, changed, taken back.

use pipeline::event::MirrorPlace;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use udfs::markup::{Body, Dialect, Part};

use super::{ClickUp, find, task_of};
use crate::{
    capability::{
        Write,
        write::{Face, Found},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl Write for ClickUp {
    fn dialect(&self) -> Dialect {
        Dialect::Clickup
    }

    fn part_limit_min(&self) -> u32 {
        8_000
    }

    fn page(&self, place: &MirrorPlace, _base: &Url) -> String {
        task_of(place).map(|task| format!("https://app.clickup.com/t/{task}")).unwrap_or_default()
    }

    fn post<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        part: &'a Part,
        _face: &'a Face,
    ) -> Asking<'a, String> {
        Box::pin(async move { post(client, task_of(place)?, part).await })
    }

    fn edit<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        id: &'a str,
        part: &'a Part,
    ) -> Asking<'a, ()> {
        Box::pin(async move {
            task_of(place)?;
            edit(client, id, part).await
        })
    }

    fn remove<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            task_of(place)?;
            remove(client, id).await
        })
    }

    fn find<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        command: &'a str,
        since_ms: u64,
    ) -> Asking<'a, Vec<Found>> {
        Box::pin(async move { find::find(client, task_of(place)?, command, since_ms).await })
    }
}

/// Says something about a task; the comment's id.
pub(super) async fn post(client: &ProviderClient, task: &str, part: &Part) -> Result<String, ProviderError> {
    let mut comment = contents(part);
    // Whoever watches the task is told as of any comment; nobody else is.
    comment["notify_all"] = json!(false);
    let request = client.request(Method::POST, client.url(&["task", task, "comment"])?).json(&comment);
    let answer = client.ask(request, None).await?;
    word_at(&answer, "/id").ok_or_else(|| ProviderError::may_have_landed("the answer names no comment"))
}

/// Says something else instead.
pub(super) async fn edit(client: &ProviderClient, id: &str, part: &Part) -> Result<(), ProviderError> {
    let request = client.request(Method::PUT, client.url(&["comment", id])?).json(&contents(part));
    client.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(super) async fn remove(client: &ProviderClient, id: &str) -> Result<(), ProviderError> {
    client.ask(client.request(Method::DELETE, client.url(&["comment", id])?), None).await.map(|_| ())
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Json(blocks) => json!({"comment": blocks}),
        Body::Text(text) => json!({"comment_text": text}),
    }
}
