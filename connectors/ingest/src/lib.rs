//! Webhooks in: a request is bounded, believed, looked into, written down, and
//! only then answered.
//!
//! In: HTTP requests of providers. Out: records of `webhooks.raw`, body byte for
//! byte. Guaranteed: a 200 follows the durable append; nothing of a request that
//! is not believed is kept; nothing else happens in the request, so a sender
//! waits for one sync and for nothing behind it.
//!
//! Each provider has a file that says whose a request is, whether it is
//! believed, and by what name a repeat of it is known. What all share is here.

mod clickup;
mod directory;
mod document;
mod generic;
mod github;
mod jira;
mod record;
mod repeats;
mod request;
mod routes;
mod slack;
mod turns;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
};
use pipeline::{
    inputs::normalize,
    ports::{Clock, Log, LogError},
    turn::id_of,
};
use udfs::hash::Parts;

use self::{
    directory::Directory,
    repeats::{Repeats, Seen},
    request::{Admitted, Answer, Media, Refused, Request},
};
use runtime::{
    config::Config,
    http::{
        body::{self, Budget, Limits},
        problem::Problem,
    },
    sealing::Seal,
    supervisor::{Failure, RoleContext},
    telemetry::metrics::Metrics,
};

pub use routes::router;

/// Changes that come close together are taken up together, so that a thousand
/// of them do not cost a thousand times the work: after taking some up there is
/// a pause of so many times what that took, and a change holds within a second.
const REFRESH_PAUSE_TIMES: u32 = 4;
const REFRESH_PAUSE_MIN: Duration = Duration::from_millis(10);
const REFRESH_PAUSE_MAX: Duration = Duration::from_millis(500);

/// To whom a request is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// `/webhooks/clickup`
    Clickup,
    /// `/webhooks/slack`
    Slack,
    /// `/webhooks/github`
    Github,
    /// `/webhooks/jira/{connection}`
    Jira(&'a str),
    /// `/api/webhooks/{provider}[/{connection}]`
    Generic(&'a str, Option<&'a str>),
}

impl Address<'_> {
    fn provider(&self) -> String {
        match self {
            Address::Clickup => "clickup".to_owned(),
            Address::Slack => "slack".to_owned(),
            Address::Github => "github".to_owned(),
            Address::Jira(_) => "jira".to_owned(),
            // The environment cannot tell `acme_ci` from `acme-ci`; nor can we.
            Address::Generic(provider, _) => provider.to_ascii_lowercase().replace('_', "-"),
        }
    }
}

/// What a request that was accepted is told.
#[derive(Debug, PartialEq)]
pub enum Accepted {
    /// It is durable under this id; whether it was before.
    Stored {
        /// The id of the event that it becomes.
        id: Arc<str>,
        /// Whether this is a repeat.
        duplicate: bool,
    },
    /// The challenge to repeat.
    Challenge(String),
}

/// Takes requests and writes them down.
pub struct Ingest {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    config: Config,
    rows: Arc<runtime::directory::Directory>,
    seal: Arc<Seal>,
    directory: RwLock<Arc<Directory>>,
    /// Whether `directory` has all that there was at the start.
    complete: AtomicBool,
    repeats: Repeats,
    limits: Limits,
    budget: Budget,
    github_bytes_max: usize,
    depth_max: usize,
    tolerance_ms: u64,
}

impl Ingest {
    /// For the connections and limits of a configuration, and the connections
    /// of the directory, whose secrets `seal` opens.
    pub fn new(
        config: &Config,
        log: Arc<dyn Log>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        rows: Arc<runtime::directory::Directory>,
        seal: Arc<Seal>,
    ) -> Self {
        Ingest {
            log,
            clock,
            metrics,
            complete: AtomicBool::new(rows.is_known()),
            directory: RwLock::new(Arc::new(Directory::new(config, &rows, &seal, None))),
            config: config.clone(),
            rows,
            seal,
            repeats: Repeats::new(config.webhooks.remembered_max),
            limits: Limits {
                bytes_max: config.server.body_max_bytes,
                idle: Duration::from_millis(config.server.body_idle_timeout_ms),
                whole: Duration::from_millis(config.server.body_timeout_ms),
            },
            budget: Budget::new(config.server.bodies_max_bytes),
            github_bytes_max: config.server.github_body_max_bytes,
            depth_max: config.server.json_depth_max,
            tolerance_ms: config.webhooks.tolerance_s.saturating_mul(1_000),
        }
    }

    /// Keeps up with the directory until told to stop.
    pub async fn follow(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        let mut changes = self.rows.changes();
        loop {
            // Before they are read: what changes meanwhile is another change.
            changes.mark_unchanged();
            if self.rows.is_known() {
                let (ingest, begun) = (Arc::clone(&self), Instant::now());
                // Each secret is opened: with many that takes its time.
                tokio::task::spawn_blocking(move || ingest.refresh()).await?;
                context.running();
                let pause = begun.elapsed() * REFRESH_PAUSE_TIMES;
                tokio::time::sleep(pause.clamp(REFRESH_PAUSE_MIN, REFRESH_PAUSE_MAX)).await;
            }
            tokio::select! {
                changed = changes.changed() => changed?,
                () = context.told_to_stop() => return Ok(()),
            }
        }
    }

    fn refresh(&self) {
        let before = Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner));
        let directory = Directory::new(&self.config, &self.rows, &self.seal, Some(&before));
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        self.complete.store(true, Relaxed);
    }

    /// Whether a webhook would be taken now.
    pub fn ready(&self) -> Result<(), LogError> {
        self.log.ready()
    }

    /// One request, from its body to its answer.
    pub async fn accept(&self, address: Address<'_>, headers: &HeaderMap, body: Body) -> Result<Accepted, Problem> {
        let begun = Instant::now();
        let provider = address.provider();
        let accepted = self.take(address, &provider, headers, body).await;
        let outcome = match &accepted {
            Ok(Accepted::Stored { duplicate: false, .. }) => "stored",
            Ok(Accepted::Stored { duplicate: true, .. }) => "duplicate",
            Ok(Accepted::Challenge(_)) => "challenge",
            Err(problem) => problem.code(),
        };
        self.metrics.webhook(self.label(&provider), outcome, begun.elapsed());
        accepted
    }

    /// A provider's name for metrics: whoever knocks must not be able to make
    /// up ever new ones.
    fn label<'a>(&self, provider: &'a str) -> &'a str {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        if directory.knows(provider) { provider } else { "unknown" }
    }

    async fn take(
        &self,
        address: Address<'_>,
        provider: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Accepted, Problem> {
        if !self.complete.load(Relaxed) {
            // A sender that is only not known yet must not be told that it is
            // nobody: some give up for good then.
            body::abandon(body);
            return Err(Problem::unavailable("the hub is starting; send it again"));
        }
        let media = Media::of(headers).or(binary_cloud_event(headers));
        let Some(media) = media else {
            body::abandon(body);
            return Err(Refused::Media.problem(provider));
        };
        let bytes_max = if address == Address::Github { self.github_bytes_max } else { self.limits.bytes_max };
        let whole = body::read(headers, body, Limits { bytes_max, ..self.limits }, &self.budget).await?;
        let body = &whole.bytes;
        let directory = Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner));
        let now_ms = self.clock.now_ms();
        let request = Request {
            headers,
            body,
            media,
            now_ms: now_ms as i64,
            tolerance_ms: self.tolerance_ms,
            directory: &directory,
            depth_max: self.depth_max,
        };
        let admitted = judge(&request, address, provider).map_err(|refused| {
            let problem = refused.problem(provider);
            self.metrics.refused(self.label(provider), refused.label(), &problem, now_ms);
            problem
        })?;
        if let Answer::Challenge(challenge) = admitted.answer {
            return Ok(Accepted::Challenge(challenge));
        }
        self.store(&request, provider, admitted, now_ms).await
    }

    async fn store(
        &self,
        request: &Request<'_>,
        provider: &str,
        admitted: Admitted,
        now_ms: u64,
    ) -> Result<Accepted, Problem> {
        let first = match &admitted.delivery {
            Some(delivery) => match self.repeats.seen(name_of(provider, &admitted, delivery)).await {
                Seen::Repeat(id) => return Ok(Accepted::Stored { id, duplicate: true }),
                Seen::New(first) => Some(first),
            },
            None => None,
        };
        let Some(_turn) = admitted.tenant.turns.next().await else {
            let detail = "too many requests of this tenant are waiting";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tenant_busy", detail).retry_after(1));
        };
        let record = record::of(request, provider, &admitted, now_ms, self.log.partitions());
        let positions = self.log.append(vec![record]).await.map_err(problem_of)?;
        let Some(position) = positions.first() else {
            return Err(Problem::unavailable("the log did not say where the record is"));
        };
        let id: Arc<str> = id_of(self.log.identity(), *position, "evt", normalize::NAME, 0).into();
        if let Some(first) = first {
            first.taken(Arc::clone(&id));
        }
        Ok(Accepted::Stored { id, duplicate: false })
    }
}

/// THE list of providers: whose a request is and whether it is believed.
fn judge(request: &Request<'_>, address: Address<'_>, provider: &str) -> Result<Admitted, Refused> {
    let link = |provider: &str, id: &str| {
        let link = request.directory.link(id).filter(|link| &*link.provider == provider);
        link.ok_or(Refused::Unknown("no such connection"))
    };
    match address {
        Address::Clickup => clickup::admit(request),
        Address::Slack => slack::admit(request),
        Address::Github => github::admit(request),
        Address::Jira(connection) => jira::admit(request, link("jira", connection)?),
        Address::Generic(_, None) => generic::admit(request, provider, None),
        Address::Generic(_, Some(connection)) => generic::admit(request, provider, Some(link(provider, connection)?)),
    }
}

/// A CloudEvent in binary mode may carry data of any kind, or none.
fn binary_cloud_event(headers: &HeaderMap) -> Option<Media> {
    headers.contains_key("ce-specversion").then_some(Media::Other)
}

fn name_of(provider: &str, admitted: &Admitted, delivery: &str) -> u128 {
    let link = admitted.link.as_ref().map_or("", |link| &*link.id);
    Parts::new().add(&*admitted.tenant.id).add(provider).add(link).add(delivery).finish()
}

fn problem_of(error: LogError) -> Problem {
    match error {
        LogError::TooLarge { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than the log takes")
        }
        error => {
            tracing::warn!(%error, "a webhook could not be stored");
            Problem::unavailable("the log cannot take it now; send it again")
        }
    }
}
