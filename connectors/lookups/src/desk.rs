//! Answers one request: finds the way, asks the provider once for all who want
//! the same, and answers by the deadline whatever happens.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hashbrown::HashMap;
use pipeline::{
    event::{LookupRequest, LookupResult, Time},
    ports::Clock,
    retry::Policy,
};
use reqwest::Url;
use tokio::{sync::Semaphore, time::timeout};

use super::{clickup, flights::Flights};
use providers::{
    client::{
        Answer, Call, Caller, Credential, Fault, Http, Ledger, Limits, Outcome, Policies, Provider, Stopped, WhileDown,
    },
    credentials::Links,
};
use runtime::{
    config::{Config, ProviderSettings},
    kill_switch::KillSwitch,
    supervisor::Failure,
    telemetry::metrics::Metrics,
};

/// No request is worked on longer, whatever its deadline says.
const PATIENCE_MAX_MS: u64 = 30_000;
/// What was found is good for so long, for other requests of the same thing.
const KEEP_MS: u64 = 2_000;
/// Calls of one tenant at the same time: enough for a burst, few enough that a
/// provider which hangs for one tenant has no others waiting.
const TENANT_CALLS_MAX: usize = 8;
/// Calls of all tenants at the same time.
const CALLS_MAX: usize = 256;

/// Three attempts have room within a deadline of five seconds.
fn policies(attempts_max: u32) -> Policies {
    let retry = Policy { attempts_max, backoff_first_ms: 200, backoff_max_ms: 2_000, ..Policy::default() };
    Policies { retry, ..Policies::default() }
}

/// What was found, or the code of why not.
type Found = Result<LookupResult, &'static str>;

/// Answers requests.
pub struct Desk {
    links: Links,
    clickup: Url,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    flights: Flights<Found>,
    calls: Arc<Calls>,
}

/// Makes the calls, fairly.
struct Calls {
    caller: Caller,
    kill_switch: Arc<KillSwitch>,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
    warned_at_s: AtomicU64,
}

/// One thing to be fetched.
struct Errand {
    call: Call,
    tenant: String,
    kind: String,
}

impl Desk {
    /// A desk that asks the providers of the settings, under a kill switch, and
    /// counts calls where all others of the process count theirs.
    pub fn new(
        config: &Config,
        links: Links,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        (ledger, kill_switch): (Ledger, Arc<KillSwitch>),
    ) -> Result<Desk, Failure> {
        let ProviderSettings { clickup_api_url, allow_private_targets, .. } = &config.providers;
        let clickup = clickup_api_url.parse().map_err(|error| format!("providers.clickup_api_url: {error}"))?;
        let limits = Limits { allow_private_targets: *allow_private_targets, ..Limits::default() };
        let attempts_max = config.retries.attempts(&config.retries.lookups, "clickup");
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), policies(attempts_max), ledger);
        let calls = Calls {
            caller,
            kill_switch,
            clock: Arc::clone(&clock),
            places: Semaphore::new(CALLS_MAX),
            tenants: Mutex::default(),
            warned_at_s: AtomicU64::new(0),
        };
        let flights = Flights::new(Arc::clone(&clock), KEEP_MS);
        Ok(Desk { links, clickup, clock, metrics, flights, calls: Arc::new(calls) })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A result that says why there is none.
    pub fn refuse(&self, request: &LookupRequest, error: &str) -> LookupResult {
        LookupResult { error: Some(error.to_owned()), ..self.result(request) }
    }

    fn result(&self, request: &LookupRequest) -> LookupResult {
        LookupResult {
            request_id: request.id.clone(),
            tenant_id: request.tenant_id.clone(),
            at: Time::from_ms(self.clock.now_ms()),
            ..LookupResult::default()
        }
    }

    /// The result of a request, at its deadline at the latest.
    pub async fn answer(&self, request: &LookupRequest) -> LookupResult {
        let now_ms = self.clock.now_ms();
        let deadline_ms = request.deadline.as_ms().min(now_ms.saturating_add(PATIENCE_MAX_MS));
        let left = Duration::from_millis(deadline_ms.saturating_sub(now_ms));
        let found = match left.is_zero() {
            true => Err("deadline"),
            false => timeout(left, self.find(request, deadline_ms)).await.unwrap_or(Err("deadline")),
        };
        self.metrics.lookup(found.as_ref().err().unwrap_or(&"found"));
        match found {
            Ok(found) => {
                let LookupResult { request_id, tenant_id, at, .. } = self.result(request);
                LookupResult { request_id, tenant_id, at, ..found }
            }
            Err(error) => self.refuse(request, error),
        }
    }

    async fn find(&self, request: &LookupRequest, deadline_ms: u64) -> Found {
        let (tenant, connection) = (&request.tenant_id, &request.connection_id);
        let link = self.links.find(tenant, connection).ok_or("no_connection")?;
        let token = link.token.ok_or("no_token")?;
        if Provider::from_name(&link.provider) != Provider::ClickUp {
            return Err("unsupported");
        }
        let credential = Credential::plain(&token).ok_or("no_token")?;
        let asked = clickup::request(&self.clickup, &request.kind, &request.external_id, credential);
        let asked = asked.ok_or("unsupported")?;
        let key = [tenant, connection, &request.kind, &request.external_id].map(String::as_str).join("/");
        loop {
            let errand = Errand {
                call: Call {
                    connection: connection.clone(),
                    request: asked.clone(),
                    scope: None,
                    deadline_ms: Some(deadline_ms),
                    // An event that waits for its details is told to nobody:
                    // better without them now than with them in a minute.
                    while_down: WhileDown::Fail,
                },
                tenant: tenant.clone(),
                kind: request.kind.clone(),
            };
            let calls = Arc::clone(&self.calls);
            let fetch = || async move { calls.run(errand).await };
            match self.flights.join(&key, is_kept, fetch).await {
                // The other one's deadline was before ours.
                (Err("deadline" | "rate_limited"), true) => {}
                (found, _) => return found,
            }
        }
    }
}

/// That something is not there is news too, and costs as much to learn.
fn is_kept(found: &Found) -> bool {
    matches!(found, Ok(_) | Err("not_found"))
}

impl Calls {
    async fn run(&self, errand: Errand) -> Found {
        let tenant = self.places_of(&errand.tenant);
        // First among its own, then among all: no tenant has more than its few
        // in the queue that all share. (The semaphores are never closed.)
        let _own = tenant.acquire().await;
        let _all = self.places.acquire().await;
        self.kill_switch.leased().await;
        match self.kill_switch.run(&errand.tenant, self.caller.call(&errand.call)).await {
            Ok(Ok(answer)) => self.read(&errand, &answer),
            Ok(Err(stopped)) => Err(self.explain(&errand, &stopped)),
            // What is asked for changes nothing out there: it need not be known
            // whether it was.
            Err(_) => Err("stopped"),
        }
    }

    fn read(&self, errand: &Errand, answer: &Answer) -> Found {
        clickup::read(&errand.kind, &answer.body, LookupResult::default()).ok_or("unavailable")
    }

    fn explain(&self, errand: &Errand, stopped: &Stopped) -> &'static str {
        let (tenant, connection) = (&errand.tenant, &errand.call.connection);
        let now_ms = self.clock.now_ms();
        let is_late = errand.call.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms);
        let (code, theirs) = match stopped {
            Stopped::Late => ("deadline", true),
            Stopped::Answered(Outcome::Retryable { .. }) if is_late => ("deadline", true),
            Stopped::Down { .. } => ("unavailable", true),
            Stopped::Spent { .. } | Stopped::Answered(Outcome::RateLimited { .. }) => ("rate_limited", true),
            Stopped::Answered(Outcome::Unauthorised(_)) => ("unauthorised", false),
            Stopped::Answered(Outcome::Permanent(trouble)) => match trouble.status {
                Some(404 | 410) => ("not_found", true),
                _ => ("refused", trouble.fault == Fault::Request),
            },
            Stopped::Answered(_) => ("unavailable", true),
        };
        // A person has to do something about a token or an address; one line a
        // second is enough to say so.
        let now_s = now_ms / 1000;
        if !theirs && self.warned_at_s.swap(now_s, Relaxed) != now_s {
            tracing::warn!(tenant, connection, code, reason = %stopped, "ClickUp cannot be asked");
        } else {
            tracing::debug!(tenant, connection, code, reason = %stopped, "nothing was found");
        }
        code
    }

    fn places_of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // As many as requests may be open: those of tenants without any go.
        if tenants.len() >= 1_024 {
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
        }
        Arc::clone(tenants.entry_ref(tenant).or_insert_with(|| Arc::new(Semaphore::new(TENANT_CALLS_MAX))))
    }
}
