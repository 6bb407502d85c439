//! The way to a provider, for what people and clocks ask of a connection: one
//! request, answered as JSON, or why not, with a stable code for programs.

use std::time::Duration;

use axum::http::StatusCode;
use pipeline::event::{Act, Deed, Doer, Time};
use reqwest::{Method, Url};
use serde_json::Value;

use super::Connections;
use providers::{
    client::{Answer, Call, Credential, Fault, Outcome, Provider, Request, Stopped, WhileDown, address},
    credentials::{self, Link, NoWay},
};
use runtime::{
    http::problem::Problem,
    identity::random_hex,
    kill_switch::{Cut, switch::act_record},
};

/// How long somebody who waits for an answer waits for a provider.
pub(super) const HURRIED: Duration = Duration::from_secs(8);
/// How long what is done behind waits for one answer, pauses included.
pub(super) const UNHURRIED: Duration = Duration::from_secs(60);

/// When to ask again while the hub is stopped, in seconds.
const STOPPED_S: u64 = 5;

/// Why something was not learnt or done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The connection has no token.
    #[error("the connection has no API token")]
    NoToken,
    /// There is no such thing at this provider.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Somebody has to change something first; the code and what.
    #[error("{1}")]
    First(&'static str, String),
    /// The provider wants a pause, or is down: not before then.
    #[error("{detail}")]
    Later {
        /// Whether it is for a limit.
        is_limit: bool,
        /// When, in milliseconds since the epoch.
        until_ms: u64,
        /// In words.
        detail: String,
    },
    /// The provider does not take the token, or not for this.
    #[error("{0}")]
    Unauthorised(String),
    /// It is not there.
    #[error("{0}")]
    Gone(String),
    /// The provider refuses it, for good.
    #[error("{0}")]
    Refused(String),
    /// The provider, or the way to it, is unwell.
    #[error("{0}")]
    Unwell(String),
    /// The answer is not what it should be.
    #[error("{0}")]
    Nonsense(String),
    /// Something of the hub itself failed.
    #[error("{0}")]
    Own(String),
    /// The hub is stopped: it was not asked for, or cut off in the middle.
    #[error("the hub is stopped: {0}")]
    Stopped(String),
}

impl Halt {
    /// An answer that cannot be used.
    pub fn nonsense(detail: impl Into<String>) -> Halt {
        Halt::Nonsense(detail.into())
    }

    /// Whether the same may succeed later, and when at the earliest.
    pub fn again_at_ms(&self, now_ms: u64) -> Option<u64> {
        match self {
            Halt::Later { until_ms, .. } => Some((*until_ms).max(now_ms)),
            Halt::Unwell(_) | Halt::Own(_) | Halt::Stopped(_) => Some(now_ms + 5_000),
            _ => None,
        }
    }

    /// For who asked.
    pub fn problem(self, now_ms: u64) -> Problem {
        let detail = self.to_string();
        let bad_gateway = |code, detail| Problem::new(StatusCode::BAD_GATEWAY, code, detail);
        match self {
            Halt::NoToken => Problem::new(StatusCode::CONFLICT, "no_token", detail),
            Halt::Unsupported(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unsupported", detail),
            Halt::First(code @ "bad_cursor", _) => Problem::new(StatusCode::BAD_REQUEST, code, detail),
            Halt::First(code, _) => Problem::new(StatusCode::CONFLICT, code, detail),
            Halt::Later { is_limit, until_ms, .. } => {
                let seconds = until_ms.saturating_sub(now_ms).div_ceil(1000).max(1);
                match is_limit {
                    true => Problem::new(StatusCode::TOO_MANY_REQUESTS, "provider_rate_limited", detail),
                    false => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_down", detail),
                }
                .retry_after(seconds)
            }
            Halt::Unauthorised(_) => bad_gateway("provider_unauthorised", detail),
            Halt::Gone(_) => Problem::not_found(detail),
            Halt::Refused(_) => bad_gateway("provider_refused", detail),
            Halt::Unwell(_) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", detail).retry_after(5)
            }
            Halt::Nonsense(_) => bad_gateway("provider_answer", detail),
            Halt::Own(_) => Problem::unavailable("the hub cannot do it now; try again"),
            Halt::Stopped(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", detail).retry_after(STOPPED_S),
        }
    }
}

impl From<store::StoreError> for Halt {
    fn from(error: store::StoreError) -> Halt {
        match error {
            error if error.can_retry() => Halt::Own(error.to_string()),
            error => Halt::First("conflict", error.to_string()),
        }
    }
}

impl From<pipeline::ports::LogError> for Halt {
    fn from(error: pipeline::ports::LogError) -> Halt {
        Halt::Own(error.to_string())
    }
}

/// One connection, ready to be asked.
pub struct Way<'a> {
    office: &'a Connections,
    /// Whose it is.
    pub tenant: &'a str,
    /// Which.
    pub id: &'a str,
    /// Whose API it is.
    pub provider: Provider,
    /// What is known of it.
    pub link: Link,
    base: Url,
    credential: Credential,
    patience: Duration,
}

impl<'a> Way<'a> {
    /// The way of a connection, for an answer within `patience`.
    pub fn open(office: &'a Connections, tenant: &'a str, id: &'a str, patience: Duration) -> Result<Way<'a>, Halt> {
        let link = office.links.find(tenant, id).ok_or(Halt::First("disabled", "the connection is off".to_owned()))?;
        let credentials::Way { provider, base, credential } = link.way(&office.providers).map_err(no_way)?;
        Ok(Way { office, tenant, id, provider, link, base, credential, patience })
    }

    /// An address below the API's, made of these parts, each of which stays one.
    pub fn url(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Url, Halt> {
        let bad = || Halt::Gone("there is nothing of this id".to_owned());
        let mut url = address::below(&self.base, parts).ok_or_else(bad)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Reads something.
    pub async fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Value, Halt> {
        self.ask(Method::GET, parts, query, None).await
    }

    /// Asks for something, with a body or without.
    pub async fn ask(
        &self,
        method: Method,
        parts: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Halt> {
        json_of(&self.exchange(method, parts, query, body).await?)
    }

    /// The same, with the head of the answer.
    pub async fn exchange(
        &self,
        method: Method,
        parts: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Halt> {
        let mut request = Request::new(self.provider, method, self.url(parts, query)?);
        request.credential = Some(self.credential.clone());
        if self.provider == Provider::GitHub {
            request = request.header("x-github-api-version", "2022-11-28");
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.office.exchange(self.tenant, &format!("{}/{}", self.tenant, self.id), request, self.patience).await
    }
}

impl Connections {
    /// One call for a tenant, counted.
    pub(super) async fn exchange(
        &self,
        tenant: &str,
        name: &str,
        request: Request,
        patience: Duration,
    ) -> Result<Answer, Halt> {
        let provider = request.provider.name();
        let deadline_ms = self.clock.now_ms() + patience.as_millis() as u64;
        // Slack's limits are by method: a history that wants a pause must not
        // hold up what the mirror has to say.
        let method = request.url.path_segments().and_then(Iterator::last).map(str::to_owned);
        let scope = method.filter(|_| request.provider == Provider::Slack);
        let call = Call {
            connection: name.to_owned(),
            request,
            scope,
            deadline_ms: Some(deadline_ms),
            while_down: WhileDown::Fail,
        };
        let answered = match self.kill_switch.run(tenant, self.caller.call(&call)).await {
            Ok(answered) => answered.map_err(|stopped| halt_of(stopped, self.clock.now_ms())),
            Err(Cut::Before(halted)) => Err(Halt::Stopped(halted.to_string())),
            Err(Cut::Under(halted)) => {
                self.note_cut_off(tenant, &call.request).await;
                Err(Halt::Stopped(halted.to_string()))
            }
        };
        let outcome = answered.as_ref().map_or_else(word, |_| "done");
        self.counts.calls.with_label_values(&[provider, outcome]).inc();
        answered
    }
}

impl Connections {
    /// What changes something there and was cut off may have landed: that goes
    /// into the trail. What only asks has changed nothing.
    async fn note_cut_off(&self, tenant: &str, request: &Request) {
        if request.method == Method::GET {
            return;
        }
        let act = Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: tenant.to_owned(),
            action: format!("{} {}", request.method, request.url.path()),
            outcome: "uncertain".to_owned(),
            actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
            subject: Deed { kind: request.provider.name().to_owned(), id: None },
            at: Time::from_ms(self.clock.now_ms()),
            reason: Some("cut off by the kill switch".to_owned()),
            ..Act::default()
        };
        if let Err(error) = self.log.append(vec![act_record(&act, self.log.partitions())]).await {
            tracing::error!(tenant, action = act.action, %error, "a call that was cut off is not in the trail");
        }
    }
}

/// An answer's JSON.
pub(super) fn json_of(answer: &Answer) -> Result<Value, Halt> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body).map_err(|_| Halt::nonsense("the provider's answer is not JSON"))
}

fn no_way((code, detail): NoWay) -> Halt {
    match code {
        "no_token" => Halt::NoToken,
        "unsupported" => Halt::Unsupported(detail),
        _ => Halt::First("misconfigured", detail.to_owned()),
    }
}

fn halt_of(stopped: Stopped, now_ms: u64) -> Halt {
    let detail = stopped.to_string();
    match stopped {
        Stopped::Down { until_ms } => Halt::Later { is_limit: false, until_ms, detail },
        Stopped::Spent { until_ms } => {
            Halt::Later { is_limit: true, until_ms, detail: "the allowance at the provider is spent".to_owned() }
        }
        Stopped::Answered(Outcome::RateLimited { until_ms, .. }) => Halt::Later { is_limit: true, until_ms, detail },
        Stopped::Answered(Outcome::Retryable { retry_at_ms: Some(until_ms), .. }) => {
            Halt::Later { is_limit: false, until_ms, detail }
        }
        Stopped::Answered(Outcome::Unauthorised(_)) => Halt::Unauthorised(detail),
        Stopped::Answered(Outcome::Permanent(trouble)) => {
            let is_gone = matches!(trouble.status, Some(404 | 410))
                || matches!(trouble.code.as_deref(), Some("channel_not_found" | "thread_not_found"));
            match trouble.fault {
                _ if is_gone => Halt::Gone(detail),
                Fault::Credential => Halt::Unauthorised(detail),
                Fault::Configuration => Halt::First("misconfigured", detail),
                Fault::Request => Halt::Refused(detail),
                Fault::Provider => Halt::Nonsense(detail),
            }
        }
        Stopped::Answered(_) => Halt::Unwell(detail),
        Stopped::Late => Halt::Later { is_limit: false, until_ms: now_ms, detail },
    }
}

/// One word, for metrics.
fn word(halt: &Halt) -> &'static str {
    match halt {
        Halt::Later { is_limit: true, .. } => "limited",
        Halt::Later { .. } => "down",
        Halt::Unauthorised(_) => "unauthorised",
        Halt::Gone(_) => "not_found",
        Halt::Refused(_) | Halt::First(..) | Halt::NoToken | Halt::Unsupported(_) => "refused",
        Halt::Unwell(_) | Halt::Own(_) => "failed",
        Halt::Stopped(_) => "stopped",
        Halt::Nonsense(_) => "nonsense",
    }
}

/// A text or a number, as text: providers' ids are either.
pub(super) fn word_at(json: &Value, place: &str) -> Option<String> {
    match json.pointer(place)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A list, which may not be there.
pub(super) fn rows_at<'j>(json: &'j Value, place: &str) -> Result<&'j [Value], Halt> {
    let rows = json.pointer(place).and_then(Value::as_array);
    rows.map(Vec::as_slice).ok_or_else(|| Halt::nonsense("the provider's answer has no list in it"))
}
