//! How the fakes misbehave, when told to: late, never, with an error, with a
//! redirect, with too much. Every call of a provider comes through here, and is
//! remembered.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{Fakes, world::Made};

/// Faults at the same time.
const FAULTS_MAX: usize = 100;
/// An answer that never comes ends after all.
const NEVER: Duration = Duration::from_secs(600);

/// A fault.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fault {
    /// Whose; everybody's without.
    pub provider: Option<String>,
    /// Only `GET`, `POST`, …
    pub method: Option<String>,
    /// Only paths that contain this.
    pub path: Option<String>,
    /// How often; until it is taken away without.
    pub times: Option<u32>,
    /// The answer is so late.
    pub latency_ms: u64,
    /// What was asked for is done, and answered so much later: webhooks of it
    /// come first.
    pub answer_late_ms: u64,
    /// There is no answer at all.
    pub hang: bool,
    /// It is done, and then answered with the fault.
    pub lands: bool,
    /// The answer's status, in place of the right answer.
    pub status: Option<u16>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<serde_json::Value>,
    /// Its body is so large, and says nothing.
    pub body_bytes: Option<usize>,
    /// What it was asked with is repeated in the error, as careless APIs do.
    pub tells_token: bool,
}

/// The faults that are in force, the oldest first.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// One more.
    pub fn add(&mut self, fault: Fault) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }

    /// All well again.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that a call meets, and one less of it.
    fn meet(&mut self, provider: &str, method: &str, path: &str) -> Option<Fault> {
        let is_it = |fault: &Fault| {
            fault.provider.as_deref().is_none_or(|own| own == provider)
                && fault.method.as_deref().is_none_or(|own| own == method)
                && fault.path.as_deref().is_none_or(|part| path.contains(part))
                && fault.times != Some(0)
        };
        let fault = self.0.iter_mut().find(|fault| is_it(fault))?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

/// Remembers a call and lets it meet its fault.
pub(super) async fn through(
    State((fakes, provider)): State<(Fakes, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let at_ms = fakes.now_ms();
    let fault = {
        let mut world = fakes.world();
        let (method, path) = (method.clone(), path.clone());
        let fault = world.faults.meet(provider, &method, &path);
        world.made(Made { at_ms, provider, method, path, status: None });
        fault
    };
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = match fault {
        None => next.run(request).await,
        Some(fault) => meet(fault, token, request, next).await,
    };
    let mut world = fakes.world();
    let is_it =
        |made: &&mut Made| made.at_ms == at_ms && made.status.is_none() && made.path == path && made.method == method;
    if let Some(made) = world.calls.iter_mut().rev().find(is_it) {
        made.status = Some(answer.status().as_u16());
    }
    drop(world);
    answer
}

async fn meet(fault: Fault, token: Option<String>, request: Request, next: Next) -> Response {
    tokio::time::sleep(Duration::from_millis(fault.latency_ms)).await;
    let is_wrong = fault.status.is_some() || fault.body_bytes.is_some() || fault.tells_token;
    let right = if fault.lands || !(is_wrong || fault.hang) { Some(next.run(request).await) } else { None };
    if fault.hang {
        tokio::time::sleep(NEVER).await;
    }
    tokio::time::sleep(Duration::from_millis(fault.answer_late_ms)).await;
    if let Some(right) = right.filter(|_| !is_wrong) {
        return right;
    }
    let body = match (fault.body_bytes, fault.body) {
        (Some(bytes), _) => Body::from(vec![b' '; bytes]).into_response(),
        (None, Some(body)) => Json(body).into_response(),
        (None, None) if fault.tells_token => {
            let err = format!("cannot use token {}", token.unwrap_or_default());
            Json(serde_json::json!({"err": err, "ECODE": "FAKE_001"})).into_response()
        }
        (None, None) => Body::empty().into_response(),
    };
    let mut answer = body;
    let default = if fault.tells_token { 500 } else { 200 };
    *answer.status_mut() = StatusCode::from_u16(fault.status.unwrap_or(default)).unwrap_or(StatusCode::IM_A_TEAPOT);
    for (name, value) in fault.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}
