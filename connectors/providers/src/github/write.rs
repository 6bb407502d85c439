//! Comments: said, changed, taken back.

use pipeline::event::MirrorPlace;
use reqwest::Method;
use serde_json::{Value, json};
use udfs::markup::{Body, Dialect, Part};

use super::{GitHub, find, issue_of};
use crate::{
    capability::{
        Write,
        write::{Face, Found},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl Write for GitHub {
    fn dialect(&self) -> Dialect {
        Dialect::Github
    }

    fn post<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        part: &'a Part,
        _face: &'a Face,
    ) -> Asking<'a, String> {
        Box::pin(async move { post(client, issue_of(place)?, part).await })
    }

    fn edit<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        id: &'a str,
        part: &'a Part,
    ) -> Asking<'a, ()> {
        Box::pin(async move { edit(client, issue_of(place)?, id, part).await })
    }

    fn remove<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move { remove(client, issue_of(place)?, id).await })
    }

    fn find<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        command: &'a str,
        since_ms: u64,
    ) -> Asking<'a, Vec<Found>> {
        Box::pin(async move { find::find(client, issue_of(place)?, command, since_ms).await })
    }
}

/// Says something about an issue or a pull request; the comment's id.
pub(super) async fn post(
    client: &ProviderClient,
    (owner, name, number): (&str, &str, u64),
    part: &Part,
) -> Result<String, ProviderError> {
    let url = client.url(&["repos", owner, name, "issues", &number.to_string(), "comments"])?;
    let answer = client.ask(client.request(Method::POST, url).json(&contents(part)), None).await?;
    word_at(&answer, "/id").ok_or_else(|| ProviderError::may_have_landed("the answer names no comment"))
}

/// Says something else instead.
pub(super) async fn edit(
    client: &ProviderClient,
    (owner, name, _): (&str, &str, u64),
    id: &str,
    part: &Part,
) -> Result<(), ProviderError> {
    let url = client.url(&["repos", owner, name, "issues", "comments", id])?;
    client.ask(client.request(Method::PATCH, url).json(&contents(part)), None).await.map(|_| ())
}

/// Takes something away.
pub(super) async fn remove(
    client: &ProviderClient,
    (owner, name, _): (&str, &str, u64),
    id: &str,
) -> Result<(), ProviderError> {
    let url = client.url(&["repos", owner, name, "issues", "comments", id])?;
    client.ask(client.request(Method::DELETE, url), None).await.map(|_| ())
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Text(text) => json!({"body": text}),
        Body::Json(_) => json!({"body": part.visible}),
    }
}
