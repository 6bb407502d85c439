//! Which pages of other origins may ask: those that the configuration names.
//!
//! In: a request. Out: the answer to a preflight, or the inner answer with what
//! says which page may read it. `tower-http` writes the headers; here is what
//! may stand in them. It takes each OPTIONS for a preflight; only those that
//! name an origin and a method are one, and they are answered with 204.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer, Vary};

/// What pages may do.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::OPTIONS];

/// What pages may say: of the API, of event streams, of `/mcp`, of traces.
const HEADERS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("traceparent"),
];

/// What pages may read besides the body.
const EXPOSED: [HeaderName; 4] =
    [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ETAG, HeaderName::from_static("mcp-session-id")];

/// For how long a browser may believe a preflight's answer.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The origins that may ask.
#[derive(Clone, Debug)]
pub struct Origins {
    allowed: Allowed,
    layer: CorsLayer,
}

#[derive(Clone, Debug)]
enum Allowed {
    All,
    Named(Arc<[String]>),
}

impl Allowed {
    fn has(&self, origin: &HeaderValue) -> bool {
        match self {
            Allowed::All => true,
            Allowed::Named(named) => {
                origin.to_str().is_ok_and(|origin| named.iter().any(|one| one.eq_ignore_ascii_case(origin)))
            }
        }
    }
}

impl Origins {
    /// From their list; `*` is all of them. Tokens travel in a header, never in
    /// cookies, so `*` gives nothing away.
    pub fn new(list: &[String]) -> Self {
        let origins = list.iter().map(|origin| origin.trim().trim_end_matches('/').to_owned());
        let named: Arc<[String]> = origins.filter(|origin| !origin.is_empty()).collect();
        let is_named = !named.is_empty();
        let allowed = match named.iter().any(|origin| origin == "*") {
            true => Allowed::All,
            false => Allowed::Named(named),
        };
        let (answered, varies) = match &allowed {
            Allowed::All => (AllowOrigin::any(), false),
            Allowed::Named(_) => {
                let allowed = allowed.clone();
                (AllowOrigin::predicate(move |origin, _| allowed.has(origin)), is_named)
            }
        };
        let layer = CorsLayer::new()
            .allow_origin(answered)
            .allow_methods(METHODS)
            .allow_headers(HEADERS)
            .expose_headers(EXPOSED)
            .max_age(MAX_AGE)
            .vary(Vary::list(varies.then_some(header::ORIGIN)));
        Origins { allowed, layer }
    }

    /// Whether the page that a request comes from may ask; whoever names no
    /// origin is no page.
    pub fn may_ask(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_none_or(|origin| self.allowed.has(origin))
    }
}

/// Answers preflights, and says on every answer which page may read it.
pub async fn allow(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let is_preflight = is_preflight(&request);
    if request.method() == Method::OPTIONS && !is_preflight {
        return next.run(request).await;
    }
    let Ok(mut response) = origins.layer.layer(next).oneshot(request).await;
    if is_preflight {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    let named = |name: HeaderName| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && named(header::ORIGIN) && named(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Routes that pages of these origins may ask.
pub fn for_pages(routes: Router, origins: &Arc<Origins>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(origins), allow))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn answered(list: &str, request: Request) -> Response {
        let origins = Origins::new(&list.split(',').map(str::to_owned).collect::<Vec<_>>());
        let routes = Router::new().fallback(|| async { StatusCode::IM_A_TEAPOT });
        let Ok(response) = for_pages(routes, &Arc::new(origins)).oneshot(request).await;
        response
    }

    async fn answer(list: &str, origin: &'static str) -> Option<String> {
        let request = Request::builder().header(header::ORIGIN, origin).body(Body::empty()).expect("a request");
        let response = answered(list, request).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        let value = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(value.to_str().expect("text").to_owned())
    }

    #[tokio::test]
    async fn only_named_origins_are_answered() {
        assert_eq!(answer("", "https://a.example").await, None);
        assert_eq!(answer("*", "https://a.example").await.as_deref(), Some("*"));
        let two = "https://a.example, https://B.example/";
        assert_eq!(answer(two, "https://a.example").await.as_deref(), Some("https://a.example"));
        assert_eq!(answer(two, "https://b.example").await.as_deref(), Some("https://b.example"));
        for other in ["https://a.example.evil", "http://a.example", "null", "https://a.example:8443"] {
            assert_eq!(answer(two, other).await, None, "{other}");
        }
        let response = answered("", Request::default()).await;
        assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[tokio::test]
    async fn only_preflights_are_answered_here() {
        let options = || Request::builder().method(Method::OPTIONS).header(header::ORIGIN, "https://a.example");
        let plain = answered("https://a.example", options().body(Body::empty()).expect("a request")).await;
        assert_eq!(plain.status(), StatusCode::IM_A_TEAPOT);
        let preflight = options().header(header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH");
        let preflight = answered("https://a.example", preflight.body(Body::empty()).expect("a request")).await;
        assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
        assert_eq!(preflight.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(preflight.headers()[header::VARY], "origin");
        assert_eq!(preflight.headers()[header::ACCESS_CONTROL_MAX_AGE], "600");
    }
}
