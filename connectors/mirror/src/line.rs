//! A line to a provider: one connection's way of asking. An answer comes back as
//! JSON, everything else as a [`Halt`], which says what may be done next.

use std::sync::Arc;

use pipeline::event::MirrorPlace;
use reqwest::{Method, Url};
use serde_json::Value;

use super::counts::Counts;
use providers::{
    client::{Call, Caller, Credential, Fault, Outcome, Provider, Request, Stopped, WhileDown, address},
    credentials::{Link, NoWay, Way},
};
use runtime::{
    config::ProviderSettings,
    kill_switch::{Cut, KillSwitch},
};

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nothing was sent, or it was refused for a limit: not before then.
    Held { until_ms: u64, is_connections: bool, why: &'static str },
    /// It did not land, or doing it twice does no harm: it may be tried again.
    Again { at_ms: Option<u64>, detail: String },
    /// It may have landed, and doing it twice would show.
    Unsure { detail: String },
    /// The message is too long for the provider.
    TooLong { detail: String },
    /// What it is about is not there.
    Gone { detail: String },
    /// It will never be done: the code and the reason.
    Refused { code: &'static str, detail: String },
    /// The provider cannot tell whether it was done.
    Unknown { detail: String },
    /// The hub was stopped before anything was sent.
    Stopped { why: &'static str },
    /// The hub was stopped in the middle: it may have landed.
    CutOff,
}

/// One connection of a tenant, ready to be asked.
pub(super) struct Line<'a> {
    pub caller: &'a Caller,
    pub counts: &'a Counts,
    pub kill_switch: &'a Arc<KillSwitch>,
    /// Whose it is.
    pub tenant: String,
    /// What circuits go by: connections' ids are a tenant's own.
    pub name: String,
    pub provider: Provider,
    pub base: Url,
    pub credential: Credential,
    pub own_ids: Vec<String>,
}

impl<'a> Line<'a> {
    /// The line of a link, or the code of why there is none.
    pub fn open(
        tenant: &str,
        connection: &str,
        link: &Link,
        providers: &ProviderSettings,
        (caller, counts, kill_switch): (&'a Caller, &'a Counts, &'a Arc<KillSwitch>),
    ) -> Result<Line<'a>, Halt> {
        let refused = |(code, detail): NoWay| Halt::Refused { code, detail: detail.to_owned() };
        let Way { provider, base, credential } = link.way(providers).map_err(refused)?;
        let (name, own_ids) = (format!("{tenant}/{connection}"), link.own_ids.clone());
        Ok(Line { caller, counts, kill_switch, tenant: tenant.to_owned(), name, provider, base, credential, own_ids })
    }

    /// An address below the API's, made of these parts, each of which stays one.
    pub fn url(&self, parts: &[&str]) -> Result<Url, Halt> {
        let bad = || Halt::Refused { code: "refused", detail: "an id that cannot be part of an address".to_owned() };
        address::below(&self.base, parts).ok_or_else(bad)
    }

    /// A request of this line.
    pub fn request(&self, method: Method, url: Url) -> Request {
        let request = Request::new(self.provider, method, url).credential(self.credential.clone());
        match self.provider {
            Provider::GitHub => request.header("x-github-api-version", "2022-11-28"),
            _ => request,
        }
    }

    /// Whether something could be asked now.
    pub fn held(&self, scope: Option<&str>) -> Option<Halt> {
        let call = self.call(self.request(Method::GET, self.base.clone()), scope);
        self.caller.held(&call).map(|stopped| self.halt(stopped, scope, true))
    }

    /// Asks. What may be done twice without harm is a `Request::is_repeatable`.
    pub async fn ask(&self, request: Request, scope: Option<&str>) -> Result<Value, Halt> {
        let is_repeatable = request.is_repeatable;
        let call = self.call(request, scope);
        let answered = self.kill_switch.run(&self.tenant, self.caller.call(&call)).await;
        let result = match answered {
            Err(Cut::Before(halted)) => Err(Halt::Stopped { why: halted.word() }),
            Err(Cut::Under(_)) => Err(Halt::CutOff),
            Ok(Ok(answer)) if answer.body.is_empty() => Ok(Value::Null),
            Ok(Ok(answer)) => serde_json::from_slice(&answer.body).map_err(|_| {
                let detail = "the answer is not JSON".to_owned();
                if is_repeatable { Halt::Again { at_ms: None, detail } } else { Halt::Unsure { detail } }
            }),
            Ok(Err(stopped)) => Err(self.halt(stopped, scope, is_repeatable)),
        };
        let outcome = result.as_ref().map_or_else(Halt::word, |_| "done");
        self.counts.calls.with_label_values(&[self.provider.name(), outcome]).inc();
        result
    }

    fn call(&self, request: Request, scope: Option<&str>) -> Call {
        let (connection, scope) = (self.name.clone(), scope.map(str::to_owned));
        Call { connection, request, scope, deadline_ms: None, while_down: WhileDown::Tell }
    }

    fn halt(&self, stopped: Stopped, scope: Option<&str>, is_repeatable: bool) -> Halt {
        let is_connections = scope.is_none();
        match stopped {
            Stopped::Down { until_ms } => Halt::Held { until_ms, is_connections: true, why: "down" },
            Stopped::Spent { until_ms } => Halt::Held { until_ms, is_connections, why: "spent" },
            Stopped::Answered(Outcome::RateLimited { until_ms, .. }) => {
                Halt::Held { until_ms, is_connections, why: "limited" }
            }
            Stopped::Answered(Outcome::Retryable { trouble, may_have_landed, retry_at_ms }) => {
                let detail = trouble.detail;
                if may_have_landed && !is_repeatable {
                    Halt::Unsure { detail }
                } else {
                    Halt::Again { at_ms: retry_at_ms, detail }
                }
            }
            Stopped::Answered(Outcome::Unauthorised(trouble)) => {
                Halt::Refused { code: "unauthorised", detail: trouble.detail }
            }
            Stopped::Answered(Outcome::Permanent(trouble)) => {
                let (code, detail) = (trouble.code.as_deref().unwrap_or_default(), trouble.detail);
                let is_gone = matches!(trouble.status, Some(404 | 410));
                match code {
                    "msg_blocks_too_long" | "msg_too_long" => Halt::TooLong { detail },
                    "message_not_found" | "thread_not_found" | "channel_not_found" => Halt::Gone { detail },
                    _ if is_gone => Halt::Gone { detail },
                    _ if trouble.fault == Fault::Credential => Halt::Refused { code: "unauthorised", detail },
                    _ => Halt::Refused { code: "refused", detail },
                }
            }
            Stopped::Late | Stopped::Answered(Outcome::Ok(_)) => {
                Halt::Again { at_ms: None, detail: "nothing was asked".to_owned() }
            }
        }
    }

    /// Whether the author of something is us, as far as anybody has told who we
    /// are; a mark is copied by whoever copies what carries it.
    pub fn is_us(&self, ids: &[&Value]) -> bool {
        let is_own = |id: &&&Value| match id {
            Value::String(id) => self.own_ids.iter().any(|own| own.eq_ignore_ascii_case(id)),
            Value::Number(id) => self.own_ids.contains(&id.to_string()),
            _ => false,
        };
        self.own_ids.is_empty() || ids.iter().any(|id| is_own(&id))
    }
}

impl Halt {
    /// One word, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Halt::Held { why, .. } => why,
            Halt::Again { .. } => "failed",
            Halt::Unsure { .. } => "unsure",
            Halt::TooLong { .. } => "too_long",
            Halt::Gone { .. } => "not_found",
            Halt::Refused { code, .. } => code,
            Halt::Unknown { .. } => "unknown",
            Halt::Stopped { why } => why,
            Halt::CutOff => "cut_off",
        }
    }
}

/// An answer that lacks what was asked for, after something was done.
pub(super) fn unsure(detail: &str) -> Halt {
    Halt::Unsure { detail: detail.to_owned() }
}

/// A text or a number, as text.
pub(super) fn word(json: &Value, place: &str) -> Option<String> {
    match json.pointer(place)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A command about a place that is not its connection's.
pub(super) fn elsewhere(place: &MirrorPlace) -> Halt {
    Halt::Refused { code: "unsupported", detail: format!("the connection does not lead to {}", place.provider()) }
}
