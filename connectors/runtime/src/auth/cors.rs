//! Which pages of other origins may ask: those that the configuration names.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// What pages may do, and for how long a browser may believe it, in seconds.
const METHODS: &str = "GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS";
const HEADERS: &str = "authorization, content-type, last-event-id, traceparent";
const EXPOSED: &str = "retry-after, www-authenticate";
const MAX_AGE_S: &str = "600";

/// The origins that may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    all: bool,
    named: Vec<String>,
}

impl Origins {
    /// From their list; `*` is all of them.
    pub fn new(list: &[String]) -> Self {
        let origins = list.iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase());
        let named: Vec<_> = origins.filter(|origin| !origin.is_empty()).collect();
        Origins { all: named.iter().any(|origin| origin == "*"), named }
    }

    /// Whether the page that a request comes from may ask; whoever names no
    /// origin is no page.
    pub fn may_ask(&self, headers: &HeaderMap) -> bool {
        !headers.contains_key(header::ORIGIN) || self.answer(headers).is_some()
    }

    /// What a page's origin is answered; nothing if it may not ask. Tokens
    /// travel in a header, never in cookies, so `*` gives nothing away.
    fn answer(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.all {
            return Some(HeaderValue::from_static("*"));
        }
        let wanted = origin.to_str().ok()?.to_ascii_lowercase();
        self.named.contains(&wanted).then(|| origin.clone())
    }
}

/// Answers preflights, and says on every answer which page may read it.
pub async fn allow(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let answer = origins.answer(request.headers());
    let asked = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && asked && request.headers().contains_key(header::ORIGIN) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        if answer.is_some() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
        }
        return finish(response, &origins, answer);
    }
    finish(next.run(request).await, &origins, answer)
}

fn finish(mut response: Response, origins: &Origins, answer: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    if !origins.all && !origins.named.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = answer {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &str) -> Origins {
        Origins::new(&list.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    fn answer(list: &str, origin: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        origins(list).answer(&headers).map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn only_named_origins_are_answered() {
        assert_eq!(answer("", "https://a.example"), None);
        assert_eq!(answer("*", "https://a.example").as_deref(), Some("*"));
        let two = "https://a.example, https://B.example/";
        assert_eq!(answer(two, "https://a.example").as_deref(), Some("https://a.example"));
        assert_eq!(answer(two, "https://b.example").as_deref(), Some("https://b.example"));
        for other in ["https://a.example.evil", "http://a.example", "null", "https://a.example:8443"] {
            assert_eq!(answer(two, other), None, "{other}");
        }
        assert_eq!(origins("").answer(&HeaderMap::new()), None);
    }
}
