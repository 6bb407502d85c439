//! What people and programs ask of the hub, by resource.
//!
//! [`operations`] is THE list: the router is built from it, and so is the
//! document at `/openapi.json`. A resource is a file that adds its operations;
//! [`operation`] says what happens to every request before and after them.

mod call;
mod check;
#[cfg(test)]
mod check_oracle;
pub mod dead_letters;
pub mod dry_run;
mod guard;
mod input;
mod limits;
mod operation;
mod output;
mod query;
pub mod resources;
mod rows;
pub mod tools;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, middleware};
use pipeline::{
    governance,
    ports::{Clock, Log},
    worker::Progress,
};
use tokio::sync::Semaphore;

use self::{input::Bodies, operation::Schemas};
use crate::resources::actions::TraceLinks;
use connections::Connections;
use gateway::Online;
use ingest::Ingest;
use memory::Recall;
use runtime::{
    auth::{Buckets, Gate, Login, Origins, Tokens, allow},
    config::{Access, Config},
    directory::Directory,
    http::{
        body::{Budget, Limits},
        problem::Problem,
        sse::Listeners,
    },
    kill_switch::{KillSwitch, switch::Switch},
    sealing::Seal,
    sql::Engine,
    supervisor::{Board, Failure, RoleContext},
    telemetry::metrics::Metrics,
};
use store::Store;

pub use operation::{Operation, Served};
pub use resources::{commands::Commands, operations};

/// How long an answer waits until what was written holds in this process too.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of large bodies of the API that are held at the same time.
const BODIES_BYTES_MAX: usize = 32 << 20;

/// What every process's routes work with.
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
    /// Tells who asks.
    pub gate: Arc<Gate>,
    /// Who may read `/webhooks/health`.
    pub webhooks_health: Access,
    /// What the role `api` works with, if this process has it.
    pub desk: Option<Arc<Desk>>,
}

/// What the role `api` works with.
pub struct Desk {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The rows as they are written.
    pub store: Arc<Store>,
    /// What is remembered.
    pub recall: Arc<Recall>,
    /// The rows as they hold.
    pub directory: Arc<Directory>,
    /// Issues tokens.
    pub tokens: Arc<Tokens>,
    /// Tells who asks.
    pub gate: Arc<Gate>,
    /// Seals connections' secrets.
    pub seal: Arc<Seal>,
    /// Looks at clients' secrets.
    pub login: Login,
    /// How fast clients may ask.
    pub buckets: Buckets,
    /// Which pages may ask.
    pub origins: Arc<Origins>,
    /// Asks the pipeline.
    pub commands: Arc<Commands>,
    /// Who is stopped.
    pub kill_switch: Arc<KillSwitch>,
    /// Stops.
    pub switch: Switch,
    /// Where agents' deployments are.
    pub kubernetes: runtime::config::KubernetesSettings,
    /// Where traces are seen.
    pub trace_links: TraceLinks,
    /// Who is connected.
    pub online: Arc<Online>,
    /// Whether that is kept up to date by somebody else.
    online_followed: bool,
    /// How bodies are read.
    pub bodies: Bodies,
    /// The limits of tenants that set none of their own.
    pub limits: governance::Limits,
    /// One at a time looks through the whole log.
    pub dry_runs: Semaphore,
    /// Whose word on a request's origin is taken.
    pub trusted_proxies: Vec<IpAddr>,
    /// Looks after connections.
    pub connections: Arc<Connections>,
    /// Who follows a query.
    pub listeners: Arc<Listeners>,
    /// Answers what is asked in SQL, if this hub was built with it.
    pub engine: Option<Arc<dyn Engine>>,
}

/// What a desk is made of.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The rows as they are written.
    pub store: Arc<Store>,
    /// What is remembered.
    pub recall: Arc<Recall>,
    /// The rows as they hold.
    pub directory: Arc<Directory>,
    /// Issues tokens.
    pub tokens: Arc<Tokens>,
    /// Tells who asks.
    pub gate: Arc<Gate>,
    /// Seals connections' secrets.
    pub seal: Arc<Seal>,
    /// Who is stopped.
    pub kill_switch: Arc<KillSwitch>,
    /// Who is connected, where a gateway of this process keeps that; else the
    /// desk does.
    pub online: Option<Arc<Online>>,
    /// Looks after connections.
    pub connections: Arc<Connections>,
    /// Answers what is asked in SQL.
    pub engine: Option<Arc<dyn Engine>>,
}

impl Desk {
    /// With the limits of a configuration.
    pub fn new(config: &Config, parts: Parts) -> Desk {
        let server = &config.server;
        let Parts {
            log,
            clock,
            store,
            recall,
            directory,
            tokens,
            gate,
            seal,
            kill_switch,
            online,
            connections,
            engine,
        } = parts;
        let online_followed = online.is_some();
        let online = online.unwrap_or_else(|| Online::new(Arc::clone(&directory), Arc::clone(&clock)));
        Desk {
            online,
            online_followed,
            commands: Arc::new(Commands::new(Arc::clone(&log))),
            login: Login::new(config.auth.bcrypt_cost),
            buckets: Buckets::new(server.client_requests_per_s, server.client_requests_burst),
            origins: Arc::new(Origins::new(&server.cors_origins)),
            bodies: Bodies {
                limits: Limits {
                    bytes_max: server.body_max_bytes,
                    idle: Duration::from_millis(server.body_idle_timeout_ms),
                    whole: Duration::from_millis(server.body_timeout_ms),
                },
                budget: Budget::new(BODIES_BYTES_MAX),
                depth_max: server.json_depth_max,
            },
            limits: config.governance.0.clone(),
            dry_runs: Semaphore::new(1),
            trusted_proxies: server.trusted_proxies.clone(),
            switch: Switch::new(Arc::clone(&log), Arc::clone(&kill_switch), Arc::clone(&clock)),
            kubernetes: config.kubernetes.clone(),
            trace_links: TraceLinks::new(&config.traces.trace_link, &config.langfuse.host, &config.langfuse.project_id),
            kill_switch,
            log,
            clock,
            store,
            recall,
            directory,
            tokens,
            gate,
            seal,
            listeners: Listeners::new(config.sql.following_max),
            connections,
            engine,
        }
    }

    /// Follows what it must know of the log, until that fails or the role is to
    /// stop.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        let (running, log) = (context.clone(), Arc::clone(&self.log));
        let presence = async {
            if self.online_followed {
                return std::future::pending().await;
            }
            Arc::clone(&self.online).follow(log, |_| {}, || {}).await
        };
        tokio::select! {
            ended = Arc::clone(&self.commands).listen(move || running.running()) => Ok(ended?),
            ended = presence => Ok(ended?),
            () = context.told_to_stop() => Ok(()),
        }
    }
}

/// The routes of a process with these roles. Health and metrics are served by
/// all of them.
pub fn router(services: Arc<Services>) -> Router {
    let operations = operations();
    let mut router = Router::new();
    for operation in &operations {
        if let Served::Always(route) = &operation.served {
            router = router.route(operation.path, route.clone().with_state(Arc::clone(&services)));
        }
    }
    if let Some(desk) = &services.desk {
        let schemas = Arc::new(Schemas::new(&operations));
        for operation in operations {
            if let Some((path, route)) = operation.route(Arc::clone(desk), Arc::clone(&schemas)) {
                router = router.route(path, route);
            }
        }
    }
    router = router.method_not_allowed_fallback(wrong_method);
    if let Some(desk) = &services.desk {
        // Before the webhooks' routes come in: no page sends webhooks.
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&desk.origins), allow));
    }
    if let Some(ingest) = &services.ingest {
        router = router.merge(ingest::router(Arc::clone(ingest)).method_not_allowed_fallback(wrong_method));
    }
    router.fallback(|| async { Problem::not_found("there is nothing at this address") })
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address takes another method")
}
