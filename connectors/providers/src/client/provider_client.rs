//! A connection, ready to be asked: its base address, its credential, who the
//! hub is there, and what every call passes through (budget, circuit, retries,
//! kill switch). An answer comes back as JSON, everything else as a
//! [`ProviderError`].

use std::{sync::Arc, time::Duration};

use reqwest::{Method, Url};
use serde_json::Value;

use super::{Answer, Call, Caller, Cause, Credential, NotSent, ProviderError, Request, WhileDown, address};
use crate::{
    credentials::Link,
    provider::{Boxed, Provider},
};
use runtime::{
    config::ProviderSettings,
    kill_switch::{Cut, KillSwitch},
};

/// Until when an answer is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Whenever it comes.
    None,
    /// So long after the call began, pauses included.
    Within(Duration),
    /// Then, in milliseconds since the epoch.
    At(u64),
}

/// How calls are made.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// What to do while the provider is down or its allowance spent.
    pub while_down: WhileDown,
    /// Until when an answer is of use.
    pub deadline: Deadline,
    /// Whether calls keep to the provider's pace for what nobody waits for
    /// ([`crate::provider::Api::pace`]).
    pub is_paced: bool,
}

/// Hears of every call: counts it, and writes down what may have landed.
pub trait CallObserver: Send + Sync {
    /// A call has ended.
    fn called<'a>(
        &'a self,
        tenant: &'a str,
        request: &'a Request,
        result: Result<(), &'a ProviderError>,
    ) -> Boxed<'a, ()>;
}

/// Hears of calls, and counts none.
pub struct NotCounted;

impl CallObserver for NotCounted {
    fn called<'a>(&'a self, _: &'a str, _: &'a Request, _: Result<(), &'a ProviderError>) -> Boxed<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A caller under a kill switch, of which somebody hears.
pub struct GuardedCaller {
    caller: Caller,
    kill_switch: Arc<KillSwitch>,
    observer: Box<dyn CallObserver>,
}

impl GuardedCaller {
    /// Calls nobody while the kill switch is set.
    pub fn new(caller: Caller, kill_switch: Arc<KillSwitch>, observer: Box<dyn CallObserver>) -> GuardedCaller {
        GuardedCaller { caller, kill_switch, observer }
    }

    async fn call(&self, tenant: &str, call: &Call) -> Result<Answer, ProviderError> {
        match self.kill_switch.run(tenant, self.caller.call(call)).await {
            Ok(result) => result,
            Err(Cut::Before(halted)) => Err(ProviderError::KillSwitchBefore(halted)),
            Err(Cut::Under(halted)) => Err(ProviderError::KillSwitchUnderWay(halted)),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct ProviderClient {
    calls: Arc<GuardedCaller>,
    /// Whose API it is.
    pub provider: &'static dyn Provider,
    /// Whose connection it is.
    pub tenant: String,
    /// Which.
    pub connection: String,
    /// What the provider has of it: a team, a site, a repository.
    pub external_id: String,
    /// Where the API is.
    pub base: Url,
    credential: Option<Credential>,
    own_ids: Vec<String>,
    manner: Manner,
}

impl ProviderClient {
    /// The client of a link.
    pub fn new(
        calls: Arc<GuardedCaller>,
        (tenant, connection): (&str, &str),
        link: &Link,
        settings: &ProviderSettings,
        manner: Manner,
    ) -> Result<ProviderClient, ProviderError> {
        let token = link.token.as_deref();
        let token =
            token.ok_or_else(|| ProviderError::not_sent(NotSent::NoToken, "the connection has no API token"))?;
        let provider = crate::of(&link.provider);
        let api = provider.api();
        let base = api.base_url(link, settings);
        let base = base.ok_or_else(|| ProviderError::unsupported("nothing can be asked of this provider"))?;
        let credential = api
            .credential(token, link.email.as_deref())
            .ok_or_else(|| ProviderError::not_sent(NotSent::NoToken, "the token fits into no header"))?;
        Ok(ProviderClient {
            calls,
            provider,
            tenant: tenant.to_owned(),
            connection: connection.to_owned(),
            external_id: link.external_id.clone(),
            base: address(&base)?,
            credential: Some(credential),
            own_ids: link.own_ids.clone(),
            manner,
        })
    }

    /// A client of no connection: for what is asked before there is one.
    pub fn without_link(
        calls: Arc<GuardedCaller>,
        (tenant, name): (&str, &str),
        provider: &'static dyn Provider,
        settings: &ProviderSettings,
        manner: Manner,
    ) -> Result<ProviderClient, ProviderError> {
        let base = provider.api().base_url(&Link::default(), settings).unwrap_or_default();
        Ok(ProviderClient {
            calls,
            provider,
            tenant: tenant.to_owned(),
            connection: name.to_owned(),
            external_id: String::new(),
            base: address(&base)?,
            credential: None,
            own_ids: Vec::new(),
            manner,
        })
    }

    /// The same, with this token.
    pub fn with_token(mut self, token: &str) -> ProviderClient {
        self.credential = self.provider.api().credential(token, None);
        self
    }

    /// The clock's time.
    pub fn now_ms(&self) -> u64 {
        self.calls.caller.now_ms()
    }

    /// An address below the API's, made of these parts, each of which stays one.
    pub fn url(&self, parts: &[&str]) -> Result<Url, ProviderError> {
        let bad = || ProviderError::not_sent(NotSent::BadId, "an id that cannot be part of an address");
        address::below(&self.base, parts).ok_or_else(bad)
    }

    /// A request of this connection.
    pub fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(self.provider, method, url);
        request.credential.clone_from(&self.credential);
        self.provider.api().dress(request)
    }

    /// Why a call would not be made now, if it would not.
    pub fn held(&self, scope: Option<&str>) -> Option<ProviderError> {
        self.calls.caller.held(&self.call_of(self.request(Method::GET, self.base.clone()), scope))
    }

    /// Asks, and reads JSON. What may be done twice without harm is a
    /// `Request::is_repeatable`. `scope` is what a limit goes by, beside the token.
    pub async fn ask(&self, request: Request, scope: Option<&str>) -> Result<Value, ProviderError> {
        let call = self.call_of(request, scope);
        let result = match self.calls.call(&self.tenant, &call).await {
            Ok(answer) => read(&answer).map_err(|()| {
                let (cause, detail) = (Cause::BadAnswer, "the provider's answer is not JSON".to_owned());
                match call.request.is_repeatable {
                    true => ProviderError::RetryAt { cause, at_ms: None, detail },
                    false => ProviderError::MayHaveLanded { cause, at_ms: None, detail },
                }
            }),
            Err(error) => Err(error),
        };
        self.calls.observer.called(&self.tenant, &call.request, result.as_ref().map(drop)).await;
        result
    }

    /// Asks, for the whole answer.
    pub async fn send(&self, request: Request, scope: Option<&str>) -> Result<Answer, ProviderError> {
        let call = self.call_of(request, scope);
        let result = self.calls.call(&self.tenant, &call).await;
        self.calls.observer.called(&self.tenant, &call.request, result.as_ref().map(drop)).await;
        result
    }

    /// Reads something.
    pub async fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Value, ProviderError> {
        self.call(Method::GET, parts, query, None).await
    }

    /// Asks for something, with a body or without.
    pub async fn call(
        &self,
        method: Method,
        parts: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ProviderError> {
        json_of(&self.exchange(method, parts, query, body).await?)
    }

    /// The same, with the head of the answer.
    pub async fn exchange(
        &self,
        method: Method,
        parts: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ProviderError> {
        let mut url = self.url(parts)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, None).await
    }

    fn call_of(&self, request: Request, scope: Option<&str>) -> Call {
        let paced = || self.manner.is_paced.then(|| self.provider.api().pace(&request)).flatten();
        let scope = scope.map(str::to_owned).or_else(paced);
        let deadline_ms = match self.manner.deadline {
            Deadline::None => None,
            Deadline::At(at_ms) => Some(at_ms),
            Deadline::Within(patience) => Some(self.calls.caller.now_ms() + patience.as_millis() as u64),
        };
        Call {
            // Connections' ids are a tenant's own.
            connection: format!("{}/{}", self.tenant, self.connection),
            request,
            scope,
            deadline_ms,
            while_down: self.manner.while_down,
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

fn address(text: &str) -> Result<Url, ProviderError> {
    text.parse().map_err(|_| ProviderError::not_sent(NotSent::Misconfigured, "the API's address is no URL"))
}

fn read(answer: &Answer) -> Result<Value, ()> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body).map_err(|_| ())
}

/// An answer's JSON.
pub fn json_of(answer: &Answer) -> Result<Value, ProviderError> {
    read(answer).map_err(|()| ProviderError::bad_answer("the provider's answer is not JSON"))
}

/// A text or a number, as text: providers' ids are either.
pub fn word_at(json: &Value, place: &str) -> Option<String> {
    match json.pointer(place)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A list, which may not be there.
pub fn rows_at<'j>(json: &'j Value, place: &str) -> Result<&'j [Value], ProviderError> {
    let rows = json.pointer(place).and_then(Value::as_array);
    rows.map(Vec::as_slice).ok_or_else(|| ProviderError::bad_answer("the provider's answer has no list in it"))
}
