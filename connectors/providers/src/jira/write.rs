//! Comments: said, changed, taken back.

use pipeline::event::MirrorPlace;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use udfs::markup::{Body, Dialect, Part};

use super::{Jira, api::API, find, issue_of};
use crate::{
    capability::{
        Write,
        write::{Face, Found},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl Write for Jira {
    fn dialect(&self) -> Dialect {
        Dialect::Jira
    }

    fn part_limit_min(&self) -> u32 {
        8_000
    }

    fn page(&self, place: &MirrorPlace, base: &Url) -> String {
        match (issue_of(place), base.join("/browse/")) {
            (Ok(issue), Ok(browse)) => format!("{browse}{issue}"),
            _ => String::new(),
        }
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

/// Says something about an issue; the comment's id.
pub(super) async fn post(client: &ProviderClient, issue: &str, part: &Part) -> Result<String, ProviderError> {
    let [rest, api, version] = API;
    let url = client.url(&[rest, api, version, "issue", issue, "comment"])?;
    let answer = client.ask(client.request(Method::POST, url).json(&contents(part)), None).await?;
    word_at(&answer, "/id").ok_or_else(|| ProviderError::may_have_landed("the answer names no comment"))
}

/// Says something else instead.
pub(super) async fn edit(client: &ProviderClient, issue: &str, id: &str, part: &Part) -> Result<(), ProviderError> {
    let request = client.request(Method::PUT, comment(client, issue, id)?).json(&contents(part));
    client.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(super) async fn remove(client: &ProviderClient, issue: &str, id: &str) -> Result<(), ProviderError> {
    client.ask(client.request(Method::DELETE, comment(client, issue, id)?), None).await.map(|_| ())
}

fn comment(client: &ProviderClient, issue: &str, id: &str) -> Result<Url, ProviderError> {
    let [rest, api, version] = API;
    client.url(&[rest, api, version, "issue", issue, "comment", id])
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Json(document) => json!({"body": document}),
        Body::Text(_) => json!({"body": part.visible}),
    }
}
