//! Providers that are not there: ClickUp, Slack, GitHub and Jira in one router,
//! for `nexus fakes`, the demo and the tests.
//!
//! What they answer has the shapes and the error forms of the real ones, as far
//! as the hub uses them; what they keep is in memory, bounded, and shown by
//! `GET /fakes/state`. They misbehave when told to ([`faults`]), keep their
//! limits ([`limits`]), and send signed webhooks of what happens ([`tell`]), also
//! of what people do there (below `/fakes`, see [`admin`]).

pub mod admin;
mod auth;
pub mod clickup;
pub mod faults;
pub mod github;
pub mod hooks;
pub mod jira;
pub mod limits;
mod oauth;
mod people;
pub mod slack;
pub mod slack_events;
pub mod tell;
pub mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use pipeline::ports::Clock;
use serde_json::json;
use tokio::net::TcpListener;

use providers::client::{Http, Limits};
use runtime::supervisor::Failure;
pub use world::World;
use world::{CLICKUP_TEAM, CLICKUP_WEBHOOK, GITHUB_REPOSITORY, SLACK_TEAM};

/// The fakes, shared by all their routes.
#[derive(Clone)]
pub struct Fakes {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
    http: Http,
}

impl Fakes {
    /// A small world: one list without tasks, one channel, one repository, one
    /// Jira project.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Fakes, Failure> {
        // Their webhooks go to hubs on this machine.
        let http = Http::new(Limits { allow_private_targets: true, ..Limits::default() })?;
        Ok(Fakes { world: Arc::new(Mutex::new(World::new())), clock, http })
    }

    /// What is there, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// From now on the hub at this address, which `nexus seed` has prepared, is
    /// told of everything.
    pub fn tell(&self, hub: &str, secret: &str) {
        let endpoint = |provider: &str| format!("{hub}/webhooks/{provider}");
        let (clickup, slack, github) = (endpoint("clickup"), endpoint("slack"), endpoint("github"));
        let mut world = self.world();
        let webhook = clickup::webhook(CLICKUP_WEBHOOK, secret, &clickup, &json!(["*"]), CLICKUP_TEAM);
        world.clickup_webhooks.put(CLICKUP_WEBHOOK, webhook);
        world.slack_apps.put(&slack, slack_events::app(SLACK_TEAM, &slack, secret));
        let (owner, name) = GITHUB_REPOSITORY;
        let config = json!({"url": github, "secret": secret, "content_type": "json"});
        github::new_hook(&mut world, &(owner.to_owned(), name.to_owned()), &config, &json!(["*"]));
    }

    /// All routes.
    pub fn router(self) -> Router {
        let provider = |prefix: &'static str, routes: Router<Fakes>| {
            let refuse = middleware::from_fn_with_state((self.clone(), prefix), faults::through);
            Router::new().nest(&format!("/{prefix}"), routes.layer(refuse))
        };
        Router::new()
            .merge(provider("clickup", clickup::routes().merge(oauth::routes("clickup"))))
            .merge(provider("slack", slack::routes().merge(oauth::routes("slack"))))
            .merge(provider("github", github::routes().merge(oauth::routes("github"))))
            .merge(provider("jira", jira::routes()))
            .nest("/fakes", admin::routes().merge(people::routes()))
            .layer(DefaultBodyLimit::max(1 << 20))
            .with_state(self)
    }
}

/// The settings of a hub that asks fakes at `url`, by their names in the
/// environment.
pub fn addresses(url: &str) -> [(&'static str, String); 4] {
    [
        ("CLICKUP_API_URL", format!("{url}/clickup/api/v2")),
        ("SLACK_API_URL", format!("{url}/slack/api")),
        ("GITHUB_API_URL", format!("{url}/github")),
        ("JIRA_API_URL", format!("{url}/jira")),
    ]
}

/// Serves them for ever.
pub async fn serve(listener: TcpListener, fakes: Fakes) -> std::io::Result<()> {
    axum::serve(listener, fakes.router()).await
}
