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

use super::flights::Flights;
use providers::{
    capability::Lookup,
    client::{
        Answer, Caller, Cause, Deadline, GuardedCaller, Http, Ledger, Limits, Manner, NotCounted, NotSent, Policies,
        ProviderClient, ProviderError, Rejection, Request, WhileDown,
    },
    credentials::{Link, Links},
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
    providers: ProviderSettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    flights: Flights<Found>,
    calls: Arc<Calls>,
}

/// Makes the calls, fairly.
struct Calls {
    caller: Arc<GuardedCaller>,
    kill_switch: Arc<KillSwitch>,
    clock: Arc<dyn Clock>,
    places: Semaphore,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
    warned_at_s: AtomicU64,
}

/// One thing to be fetched.
struct Errand {
    client: ProviderClient,
    lookup: &'static dyn Lookup,
    request: Request,
    kind: String,
    deadline_ms: u64,
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
        let providers = config.providers.clone();
        let limits = Limits { allow_private_targets: providers.allow_private_targets, ..Limits::default() };
        // The most that any provider is allowed: the calls of all go through one.
        let asked: Vec<_> = providers::PROVIDERS.iter().filter(|provider| provider.lookup().is_some()).collect();
        for provider in &asked {
            let url = provider.api().base_url(&Link::default(), &config.providers).unwrap_or_default();
            url.parse::<Url>().map_err(|error| format!("the address of {}'s API: {error}", provider.label()))?;
        }
        let attempts = asked.iter().map(|provider| config.retries.attempts(&config.retries.lookups, provider.name()));
        let policies = policies(attempts.max().unwrap_or(config.retries.attempts_max));
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), policies, ledger);
        let calls = Calls {
            // They are counted by what they found.
            caller: Arc::new(GuardedCaller::new(caller, Arc::clone(&kill_switch), Box::new(NotCounted))),
            kill_switch,
            clock: Arc::clone(&clock),
            places: Semaphore::new(CALLS_MAX),
            tenants: Mutex::default(),
            warned_at_s: AtomicU64::new(0),
        };
        let flights = Flights::new(Arc::clone(&clock), KEEP_MS);
        Ok(Desk { links, providers, clock, metrics, flights, calls: Arc::new(calls) })
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
        // An event that waits for its details is told to nobody: better without
        // them now than with them in a minute.
        let (while_down, deadline) = (WhileDown::Fail, Deadline::At(deadline_ms));
        let manner = Manner { while_down, deadline, is_paced: false };
        let calls = Arc::clone(&self.calls.caller);
        let client = ProviderClient::new(calls, (tenant, connection), &link, &self.providers, manner);
        let client = client.map_err(|error| match error {
            ProviderError::NotSent { why: NotSent::NoToken, .. } => "no_token",
            _ => "unsupported",
        })?;
        let lookup = client.provider.lookup().ok_or("unsupported")?;
        let asked = lookup.request(&client, &request.kind, &request.external_id).ok_or("unsupported")?;
        let key = [tenant, connection, &request.kind, &request.external_id].map(String::as_str).join("/");
        loop {
            let (client, request, kind) = (client.clone(), asked.clone(), request.kind.clone());
            let errand = Errand { client, lookup, request, kind, deadline_ms };
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
        let tenant = self.places_of(&errand.client.tenant);
        // First among its own, then among all: no tenant has more than its few
        // in the queue that all share. (The semaphores are never closed.)
        let _own = tenant.acquire().await;
        let _all = self.places.acquire().await;
        self.kill_switch.leased().await;
        match errand.client.send(errand.request.clone(), None).await {
            Ok(answer) => self.read(&errand, &answer),
            Err(error) => Err(self.explain(&errand, &error)),
        }
    }

    fn read(&self, errand: &Errand, answer: &Answer) -> Found {
        errand.lookup.read(&errand.kind, &answer.body).ok_or("unavailable")
    }

    fn explain(&self, errand: &Errand, error: &ProviderError) -> &'static str {
        let (tenant, connection) = (&*errand.client.tenant, &*errand.client.connection);
        let provider = errand.client.provider.label();
        let now_ms = self.clock.now_ms();
        let is_late = now_ms >= errand.deadline_ms;
        let (code, theirs) = match error {
            // What is asked for changes nothing out there: it need not be known
            // whether it was.
            ProviderError::KillSwitchBefore(_) | ProviderError::KillSwitchUnderWay(_) => return "stopped",
            ProviderError::NotSent { why: NotSent::Late, .. } => ("deadline", true),
            ProviderError::NotSent { why: NotSent::Down, .. } => ("unavailable", true),
            ProviderError::NotSent { why: NotSent::BudgetSpent { .. }, .. }
            | ProviderError::RetryAt { cause: Cause::Limit { .. }, .. } => ("rate_limited", true),
            ProviderError::RetryAt { .. } | ProviderError::MayHaveLanded { .. } if is_late => ("deadline", true),
            ProviderError::RetryAt { .. } | ProviderError::MayHaveLanded { .. } => ("unavailable", true),
            ProviderError::Unauthorised { is_known: false, .. } => ("unauthorised", false),
            ProviderError::Gone { .. } => ("not_found", true),
            ProviderError::Rejected { code: Rejection::Refused(_), .. } => ("refused", true),
            _ => ("refused", false),
        };
        // A person has to do something about a token or an address; one line a
        // second is enough to say so.
        let now_s = now_ms / 1000;
        if !theirs && self.warned_at_s.swap(now_s, Relaxed) != now_s {
            tracing::warn!(tenant, connection, code, reason = %error, "{provider} cannot be asked");
        } else {
            tracing::debug!(tenant, connection, code, reason = %error, "nothing was found");
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
