//! The addresses that providers are given.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use super::{Accepted, Address, Ingest};
use providers::Provider;
use runtime::http::problem::Problem;

/// The routes of CONTRACT §4 'Webhooks in': each provider's own, and those for
/// everybody.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let router = providers::PROVIDERS.iter().fold(Router::new(), |router, provider| own(router, *provider));
    router
        .route("/api/webhooks/{provider}", post(generic))
        .route("/api/webhooks/{provider}/{connection}", post(generic_connection))
        .with_state(ingest)
}

type Answered = Result<Response, Problem>;
type Shared = State<Arc<Ingest>>;

fn own(router: Router<Arc<Ingest>>, provider: &'static dyn Provider) -> Router<Arc<Ingest>> {
    let path = format!("/webhooks/{}", provider.name());
    if !provider.verify().names_connection() {
        return router.route(
            &path,
            post(async move |State(ingest): Shared, headers: HeaderMap, body: Body| {
                answer(ingest.accept(Address::own(provider, None), &headers, body).await)
            }),
        );
    }
    router.route(
        &format!("{path}/{{connection}}"),
        post(async move |State(ingest): Shared, Path(connection): Path<String>, headers: HeaderMap, body: Body| {
            answer(ingest.accept(Address::own(provider, Some(&connection)), &headers, body).await)
        }),
    )
}

async fn generic(State(ingest): Shared, Path(provider): Path<String>, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::generic(&provider, None), &headers, body).await)
}

async fn generic_connection(
    State(ingest): Shared,
    Path((provider, connection)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    answer(ingest.accept(Address::generic(&provider, Some(&connection)), &headers, body).await)
}

fn answer(accepted: Result<Accepted, Problem>) -> Answered {
    Ok(match accepted? {
        Accepted::Stored { id, duplicate } => {
            Json(json!({ "data": { "id": &*id, "duplicate": duplicate } })).into_response()
        }
        Accepted::Challenge(challenge) => Json(json!({ "challenge": challenge })).into_response(),
    })
}
