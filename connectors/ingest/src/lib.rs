//! Webhooks in: a request is bounded, believed, looked into, written down, and
//! only then answered.
//!
//! In: HTTP requests of providers. Out: records of `webhooks.raw`, body byte for
//! byte. Guaranteed: a 200 follows the durable append; nothing of a request that
//! is not believed is kept; nothing else happens in the request, so a sender
//! waits for one sync and for nothing behind it.
//!
//! Whose a request is, whether it is believed, and by what name a repeat of it
//! is known, is in the provider's folder (`providers::capability::Verify`). What all
//! share is here.

mod record;
mod repeats;
mod routes;
mod turns;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
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
    repeats::{Repeats, Seen},
    turns::Turns,
};
use hashbrown::HashMap;
use providers::{
    Provider,
    webhook::{Admitted, Media, Refused, Senders, WebhookReply, WebhookRequest},
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
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// Who judges it.
    provider: &'static dyn Provider,
    /// The provider's name in the address.
    name: &'a str,
    /// The connection in the address.
    connection: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// `/webhooks/{provider}[/{connection}]`
    pub fn own(provider: &'static dyn Provider, connection: Option<&'a str>) -> Address<'a> {
        Address { provider, name: provider.name(), connection }
    }

    /// `/api/webhooks/{provider}[/{connection}]`
    pub fn generic(name: &'a str, connection: Option<&'a str>) -> Address<'a> {
        Address { provider: &providers::generic::Generic, name, connection }
    }

    fn provider(&self) -> String {
        // The environment cannot tell `acme_ci` from `acme-ci`; nor can we.
        self.name.to_ascii_lowercase().replace('_', "-")
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
    senders: RwLock<Arc<Senders>>,
    /// Each tenant's place in the queue.
    turns: Mutex<HashMap<Arc<str>, Arc<Turns>>>,
    /// Whether `senders` has all that there was at the start.
    complete: AtomicBool,
    repeats: Repeats,
    limits: Limits,
    budget: Budget,
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
            senders: RwLock::new(Arc::new(Senders::new(config, &rows, &seal))),
            turns: Mutex::default(),
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
        let senders = Senders::new(&self.config, &self.rows, &self.seal);
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).retain(|tenant, _| senders.has_tenant(tenant));
        *self.senders.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(senders);
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
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        if senders.knows(provider) { provider } else { "unknown" }
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
            return Err(Refused::Media.problem(address.provider.verify().gives_up_at_once()));
        };
        let bytes_max = address.provider.verify().body_max_bytes(&self.config.server);
        let whole = body::read(headers, body, Limits { bytes_max, ..self.limits }, &self.budget).await?;
        let body = &whole.bytes;
        let senders = Arc::clone(&self.senders.read().unwrap_or_else(PoisonError::into_inner));
        let now_ms = self.clock.now_ms();
        let request = WebhookRequest {
            headers,
            body,
            media,
            now_ms: now_ms as i64,
            tolerance_ms: self.tolerance_ms,
            senders: &senders,
            depth_max: self.depth_max,
        };
        let admitted = judge(&request, address, provider).map_err(|refused| {
            let problem = refused.problem(address.provider.verify().gives_up_at_once());
            self.metrics.refused(self.label(provider), refused.label(), &problem, now_ms);
            problem
        })?;
        if let WebhookReply::Challenge(challenge) = admitted.answer {
            return Ok(Accepted::Challenge(challenge));
        }
        self.store(&request, provider, admitted, now_ms).await
    }

    fn turns_of(&self, tenant: &Arc<str>) -> Arc<Turns> {
        let server = &self.config.server;
        let new = || Arc::new(Turns::new(server.tenant_requests_max, server.tenant_waiting_max));
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(Arc::clone(tenant)).or_insert_with(new))
    }

    async fn store(
        &self,
        request: &WebhookRequest<'_>,
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
        let turns = self.turns_of(&admitted.tenant);
        let Some(_turn) = turns.next().await else {
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

/// Whose a request is and whether it is believed.
fn judge(request: &WebhookRequest<'_>, address: Address<'_>, name: &str) -> Result<Admitted, Refused> {
    let link = |id: &str| {
        let link = request.senders.link(id).filter(|link| &*link.provider == name);
        link.ok_or(Refused::Unknown("no such connection"))
    };
    address.provider.verify().admit(request, name, address.connection.map(link).transpose()?)
}

/// A CloudEvent in binary mode may carry data of any kind, or none.
fn binary_cloud_event(headers: &HeaderMap) -> Option<Media> {
    headers.contains_key("ce-specversion").then_some(Media::Other)
}

fn name_of(provider: &str, admitted: &Admitted, delivery: &str) -> u128 {
    let link = admitted.link.as_ref().map_or("", |link| &*link.id);
    Parts::new().add(&*admitted.tenant).add(provider).add(link).add(delivery).finish()
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
