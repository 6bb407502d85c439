//! How the fakes' webhooks are sent: signed as their provider signs, once each
//! and in order; or twice, late, in any order, and again when nobody took them,
//! as [`Telling`] says. What ClickUp fails with is counted, as the real one
//! counts it.

use std::time::Duration;

use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use udfs::signature::{self, SLACK, Scheme};

use super::Fakes;
use providers::{client::Request, generic::Generic};
use runtime::identity::random_hex;

/// What the providers wait for an answer, at least.
const TIMEOUT: Duration = Duration::from_secs(7);
/// Failures after which ClickUp suspends a webhook.
const FAILURES_MAX: u64 = 100;

/// How webhooks are sent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Telling {
    /// Of a hundred, so many are sent twice: Slack's under another event id and
    /// without a word about a retry.
    pub twice_percent: u64,
    /// Each is late by chance, up to so much: they overtake each other.
    pub late_ms_max: u64,
    /// How often one is sent that nobody takes.
    pub attempts_max: u32,
    /// How long after the last time.
    pub again_ms: u64,
}

impl Default for Telling {
    fn default() -> Self {
        Telling { twice_percent: 0, late_ms_max: 0, attempts_max: 1, again_ms: 100 }
    }
}

/// A webhook on its way.
#[derive(Clone)]
pub(super) struct Told {
    /// How it is signed.
    pub scheme: Scheme,
    /// ClickUp's webhook, whose failures are counted.
    pub webhook: Option<String>,
    pub endpoint: String,
    pub secret: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

/// Sends them without anybody waiting.
pub(super) fn send_all(fakes: &Fakes, told: Vec<Told>) {
    if told.is_empty() {
        return;
    }
    let (fakes, telling) = (fakes.clone(), fakes.world().telling.clone());
    if telling.late_ms_max == 0 && telling.attempts_max <= 1 && telling.twice_percent == 0 {
        tokio::spawn(async move {
            for told in told {
                let is_taken = send(&fakes, &told).await;
                count(&fakes, &told, is_taken);
            }
        });
        return;
    }
    for told in told {
        if chance(100) < telling.twice_percent {
            tokio::spawn(insist(fakes.clone(), again(&told), telling.clone()));
        }
        tokio::spawn(insist(fakes.clone(), told, telling.clone()));
    }
}

/// A repeat, as the provider makes one.
fn again(told: &Told) -> Told {
    let mut told = told.clone();
    if told.scheme.name == SLACK.name {
        told.body["event_id"] = json!(format!("Ev{}", &random_hex()[..12].to_uppercase()));
    }
    told
}

async fn insist(fakes: Fakes, told: Told, telling: Telling) {
    tokio::time::sleep(Duration::from_millis(chance(telling.late_ms_max + 1))).await;
    for attempt in 1.. {
        let is_taken = send(&fakes, &told).await;
        count(&fakes, &told, is_taken);
        if is_taken || attempt >= telling.attempts_max {
            return;
        }
        tokio::time::sleep(Duration::from_millis(telling.again_ms)).await;
    }
}

/// A number below this.
fn chance(below: u64) -> u64 {
    // Without randomness nothing is late and nothing comes twice.
    getrandom::u64().map_or(below, |number| number % below.max(1))
}

fn count(fakes: &Fakes, told: &Told, is_taken: bool) {
    let mut world = fakes.world();
    let webhook = told.webhook.as_ref().and_then(|id| world.clickup_webhooks.get_mut(id));
    if let Some(webhook) = webhook.filter(|_| !is_taken) {
        let failures = webhook["health"]["fail_count"].as_u64().unwrap_or_default() + 1;
        let status = if failures >= FAILURES_MAX { "suspended" } else { "failing" };
        webhook["health"] = json!({"status": status, "fail_count": failures});
    }
}

async fn send(fakes: &Fakes, told: &Told) -> bool {
    let Ok(url) = told.endpoint.parse() else { return false };
    let (now_ms, body) = (fakes.now_ms(), told.body.to_string());
    let signed = signature::sign(&told.scheme, &told.secret, "", now_ms / 1000, body.as_bytes());
    let mut headers = HeaderMap::new();
    for (name, value) in signed.unwrap_or_default().into_iter().chain(told.headers.iter().cloned()) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    let mut request = Request::new(&Generic, Method::POST, url);
    (request.headers, request.body) = (headers, Some(("application/json", body.into())));
    fakes.http.send(&request, TIMEOUT, now_ms).await.result.is_ok()
}
