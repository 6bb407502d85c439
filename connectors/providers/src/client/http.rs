//! One HTTP exchange: bounded in time and size, to public addresses only, with
//! no redirect followed and no proxy of the environment asked.
//!
//! A redirect is refused because every API that is called here answers where
//! it is asked, and one that sends us elsewhere would have our token there.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK},
    redirect,
};

use super::{
    address::{Guarded, Private, check_literal},
    credential::Credential,
    error::{Cause, NotSent, ProviderError},
    judge::Answer,
    rate::Rate,
};
use crate::provider::Provider;
use runtime::supervisor::Failure;

/// What no exchange may pass.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether addresses that are not public may be called, and plain HTTP
    /// spoken: for tests, and for providers in the own network.
    pub allow_private_targets: bool,
    /// Until a connection stands.
    pub connect_timeout_ms: u64,
    /// From the beginning to the answer's last byte.
    pub timeout_ms: u64,
    /// Of an answer's body.
    pub body_max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            allow_private_targets: false,
            connect_timeout_ms: 3_000,
            timeout_ms: 10_000,
            // A page of a hundred ClickUp tasks with long descriptions is one.
            body_max_bytes: 4 << 20,
        }
    }
}

/// What is asked of a provider.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose manners apply.
    pub provider: &'static dyn Provider,
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// With which token.
    pub credential: Option<Credential>,
    /// With what else.
    pub headers: HeaderMap,
    /// What is sent: its content type, and itself.
    pub body: Option<(&'static str, Bytes)>,
    /// Whether doing it twice is the same as doing it once.
    pub is_repeatable: bool,
}

impl Request {
    /// A request without a body. All methods but POST count as repeatable.
    pub fn new(provider: &'static dyn Provider, method: Method, url: Url) -> Self {
        let is_repeatable = method != Method::POST;
        Request { provider, method, url, credential: None, headers: HeaderMap::new(), body: None, is_repeatable }
    }

    /// With a token.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// With a header more.
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// With JSON.
    pub fn json(mut self, json: &serde_json::Value) -> Self {
        self.body = Some(("application/json; charset=utf-8", json.to_string().into()));
        self
    }
}

/// What became of one exchange.
#[derive(Debug)]
pub struct Attempt {
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The answer, or what it means that there is none of use.
    pub result: Result<Answer, ProviderError>,
}

/// The client.
#[derive(Clone)]
pub struct Http {
    client: Client,
    limits: Limits,
}

impl Http {
    /// A client with these limits.
    pub fn new(limits: Limits) -> Result<Http, Failure> {
        // Fails only where it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            // The retries of the house are the only ones.
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_millis(limits.connect_timeout_ms))
            .dns_resolver(Guarded { allow_private: limits.allow_private_targets })
            .build()?;
        Ok(Http { client, limits })
    }

    /// What no exchange passes.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// One exchange, which takes at most `timeout` and the client's own limit.
    pub async fn send(&self, request: &Request, timeout: Duration, now_ms: u64) -> Attempt {
        let made = match self.check(&request.url) {
            Err(error) => Attempt { status: None, result: Err(error) },
            Ok(()) => self.exchange(request, timeout, now_ms).await,
        };
        let Some(credential) = &request.credential else { return made };
        Attempt { result: made.result.map_err(|error| credential.scrub_error(error)), ..made }
    }

    /// What can be told of an address before anything is sent there.
    fn check(&self, url: &Url) -> Result<(), ProviderError> {
        let wrong = |detail: &str| Err(ProviderError::not_sent(NotSent::Misconfigured, detail));
        match url.scheme() {
            "https" => {}
            "http" if self.limits.allow_private_targets => {}
            "http" => return wrong("a token is not sent over plain HTTP: use https"),
            _ => return wrong("the API's address must begin with https"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("the API's address must hold no user and no password");
        }
        match check_literal(url) {
            Err(private) if !self.limits.allow_private_targets => wrong(&private.to_string()),
            _ => Ok(()),
        }
    }

    async fn exchange(&self, request: &Request, timeout: Duration, now_ms: u64) -> Attempt {
        match self.answer(request, timeout, now_ms).await {
            Ok(answer) => Attempt { status: Some(answer.status), result: request.provider.api().judge(answer, now_ms) },
            Err((status, error)) => Attempt { status, result: Err(error) },
        }
    }

    /// The answer, whatever it means; or its status, if it had one, and what broke.
    async fn answer(
        &self,
        request: &Request,
        timeout: Duration,
        now_ms: u64,
    ) -> Result<Answer, (Option<u16>, ProviderError)> {
        let failed = |error: reqwest::Error| (None, failed(error));
        let timeout = timeout.min(Duration::from_millis(self.limits.timeout_ms));
        let mut sending = self.client.request(request.method.clone(), request.url.clone()).timeout(timeout);
        sending = sending.header(ACCEPT, HeaderValue::from_static("application/json")).headers(request.headers.clone());
        if let Some(credential) = &request.credential {
            let (name, value) = credential.header();
            sending = sending.header(name, value);
        }
        if let Some((kind, body)) = &request.body {
            sending = sending.header(CONTENT_TYPE, HeaderValue::from_static(kind)).body(body.clone());
        }
        let mut answer = sending.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let headers = answer.headers();
        let rate = Rate::read(|name| headers.get(name).and_then(|value| value.to_str().ok()), now_ms);
        let next = headers.get(LINK).and_then(|value| value.to_str().ok()).and_then(next_of);
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > self.limits.body_max_bytes {
                let detail = format!("the answer is larger than {} bytes", self.limits.body_max_bytes);
                return Err((Some(status), ProviderError::bad_answer(detail)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, rate, next, body: body.freeze() })
    }
}

/// The target of a `Link` header that is the next page.
fn next_of(header: &str) -> Option<String> {
    let links = header.split(',').filter_map(|link| link.trim().strip_prefix('<')?.split_once('>'));
    let mut next = links.filter(|(_, params)| params.split(';').any(|param| param.trim() == "rel=\"next\""));
    next.next().map(|(target, _)| target.to_owned())
}

/// An exchange without an answer.
fn failed(error: reqwest::Error) -> ProviderError {
    // An address may hold what is secret (Jira's, by its users' own choice).
    let error = error.without_url();
    let mut cause = error.source();
    let mut last = None;
    while let Some(found) = cause {
        if found.is::<Private>() {
            return ProviderError::not_sent(NotSent::Misconfigured, Private.to_string());
        }
        (last, cause) = (Some(found.to_string()), found.source());
    }
    let what = match () {
        () if error.is_timeout() => "no answer in time".to_owned(),
        () if error.is_connect() => format!("cannot connect: {}", last.unwrap_or_else(|| error.to_string())),
        () => format!("the connection broke: {}", last.unwrap_or_else(|| error.to_string())),
    };
    match error.is_connect() {
        true => ProviderError::RetryAt { cause: Cause::Failure, at_ms: None, detail: what },
        false => ProviderError::MayHaveLanded { cause: Cause::Failure, at_ms: None, detail: what },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_told_in_the_head() {
        let github =
            r#"<https://api.github.com/x?page=1>; rel="prev", <https://api.github.com/x?cursor=v1_7>; rel="next""#;
        assert_eq!(next_of(github).as_deref(), Some("https://api.github.com/x?cursor=v1_7"));
        assert_eq!(next_of(r#"<https://api.github.com/x?page=1>; rel="last""#), None);
        assert_eq!(next_of("nonsense"), None);
    }
}
