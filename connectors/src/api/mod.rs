//! What people and programs ask of the hub, by resource.

mod deadletters;
mod health;
mod schemas;
mod topics;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use pipeline::{
    ports::{Clock, Log},
    worker::Progress,
};

use crate::{
    auth::Tokens, config::Access, directory::Directory, http::problem::Problem, ingest::Ingest, roles::Role,
    sealing::Seal, store::Store, supervisor::Board, telemetry::metrics::Metrics,
};

/// What the routes work with.
pub struct Services {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How the roles are.
    pub board: Arc<Board>,
    /// What the workers have done.
    pub progress: Arc<Progress>,
    /// Takes webhooks, if this process does.
    pub ingest: Option<Arc<Ingest>>,
    /// The rows of the directory, as `control` has them.
    pub directory: Arc<Directory>,
    /// Issues tokens and tells whose they are.
    pub tokens: Arc<Tokens>,
    /// Seals the secrets of connections, and opens them.
    pub seal: Arc<Seal>,
    /// The tables, if this process has the role `api`.
    pub store: Option<Arc<Store>>,
    /// The roles of this process.
    pub roles: Vec<Role>,
    /// Lets the commands of whoever may read the data directory in.
    pub admin_token: String,
    /// Who may read `/webhooks/health`.
    pub webhooks_health: Access,
}

/// The routes of a process with these roles. Health and metrics are served by
/// all of them.
pub fn router(services: Arc<Services>) -> Router {
    let mut router = health::router(Arc::clone(&services));
    if let Some(ingest) = &services.ingest {
        router = router.merge(crate::ingest::router(Arc::clone(ingest)));
    }
    if services.roles.contains(&Role::Api) {
        router = router.merge(schemas::router());
        let guarded = topics::router(Arc::clone(&services)).merge(deadletters::router(Arc::clone(&services)));
        router = router.merge(guarded.layer(middleware::from_fn_with_state(services, admin_only)));
    }
    router.fallback(|| async { Problem::not_found("there is nothing at this address") }).method_not_allowed_fallback(
        || async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address takes another method")
        },
    )
}

async fn admin_only(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    match is_admin(&services, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a request carries the administrator's token.
fn is_admin(services: &Services, headers: &axum::http::HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if udfs::hash::same(given.as_bytes(), services.admin_token.as_bytes()) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", "a bearer token of an administrator is needed"))
}
