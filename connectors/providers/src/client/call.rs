//! One call with the house's policy: within the provider's allowance, not while
//! it is down, three attempts, and nothing after the deadline.
//!
//! What the attempts, the circuit and the budget decide is decided by pure
//! code (`pipeline::retry`, [`super::budget`]); here is only the waiting.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use pipeline::{
    ports::Clock,
    retry::{self, Circuit, CircuitPolicy, Decision, Failure, Policy},
};

use super::{
    budget::{self, Budgets, Limit},
    error::{Cause, NotSent, ProviderError},
    http::{Attempt, Http, Request},
};

/// An attempt that its caller's deadline cut off says nothing of the provider,
/// unless it was given so long.
const SLOW_MS: u64 = 2_000;

/// Circuits that are remembered at most; those that let calls through are not.
const CIRCUITS_MAX: usize = 10_000;

/// What to do while the provider is down or its allowance spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileDown {
    /// Wait for it, if that is before the deadline.
    Wait,
    /// Say so at once; only for an allowance it is waited.
    Fail,
    /// Say so at once, whichever it is.
    Tell,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// The connection it goes through: a circuit each.
    pub connection: String,
    /// What is asked.
    pub request: Request,
    /// What the allowance goes by, beside the token: Slack's channel.
    pub scope: Option<String>,
    /// After this nobody wants the answer any more.
    pub deadline_ms: Option<u64>,
    /// What to do while the provider is down.
    pub while_down: WhileDown,
}

/// How often, how patiently, how much.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Attempts.
    pub retry: Policy,
    /// When a provider counts as down.
    pub circuit: CircuitPolicy,
    /// Allowances that differ from the providers' own.
    pub limits: Vec<(&'static str, Limit)>,
    /// In which time a scope (Slack's channel) takes one message.
    pub scope_window_ms: u64,
}

impl Default for Policies {
    fn default() -> Self {
        let (retry, circuit, limits) = Default::default();
        Policies { retry, circuit, limits, scope_window_ms: 1_000 }
    }
}

impl Policies {
    /// What a token may spend at a provider, until its answers say otherwise.
    fn limit(&self, request: &Request, has_scope: bool) -> Option<Limit> {
        let own = self.limits.iter().find(|(known, _)| *known == request.provider.name());
        own.map(|(_, limit)| *limit).or_else(|| request.provider.api().limit(has_scope, self))
    }
}

/// Calls providers.
pub struct Caller {
    http: Http,
    clock: Arc<dyn Clock>,
    policies: Policies,
    ledger: Ledger,
}

/// What tokens have spent and which providers are down: one for all callers of
/// a process that call with the same tokens.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Those that do not simply let calls through.
    circuits: HashMap<String, Circuit>,
    budgets: Budgets,
}

/// What an attempt needs before it may be made.
enum Leave {
    Go,
    Down { until_ms: u64 },
    Spent { until_ms: u64 },
}

impl Caller {
    /// A caller with these policies, which counts in this ledger: others that
    /// call with the same tokens count there too.
    pub fn new(http: Http, clock: Arc<dyn Clock>, policies: Policies, ledger: Ledger) -> Caller {
        Caller { http, clock, policies, ledger }
    }

    /// The clock's time.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Makes a call, until it is done, refused, out of attempts or too late.
    pub async fn call(&self, call: &Call) -> Result<super::Answer, ProviderError> {
        let circuit = circuit_of(call);
        let budget = self.budget(call);
        let deadline_ms = call.deadline_ms.unwrap_or(u64::MAX);
        let mut attempt = 0;
        loop {
            self.leave(call, &circuit, budget.as_ref(), deadline_ms).await?;
            attempt += 1;
            let begun_ms = self.clock.now_ms();
            let left_ms = deadline_ms.saturating_sub(begun_ms).min(self.http.limits().timeout_ms);
            let made = self.http.send(&call.request, Duration::from_millis(left_ms), begun_ms).await;
            let now_ms = self.clock.now_ms();
            self.note(&circuit, budget.as_ref(), &made, left_ms, now_ms);
            let error = match made.result {
                Ok(answer) => return Ok(answer),
                Err(error) => error.scoped(call.scope.is_some()),
            };
            let error = match error {
                // Doing it twice is the same as doing it once.
                ProviderError::MayHaveLanded { cause, at_ms, detail } if call.request.is_repeatable => {
                    ProviderError::RetryAt { cause, at_ms, detail }
                }
                error => error,
            };
            let failure = match &error {
                ProviderError::RetryAt { at_ms, .. } => {
                    Failure::Retryable { retry_after_ms: at_ms.map(|at_ms| at_ms.saturating_sub(now_ms)) }
                }
                _ => Failure::Final,
            };
            match retry::decide(&self.policies.retry, attempt, &failure, random()) {
                Decision::RetryAfter { delay_ms } if now_ms.saturating_add(delay_ms) < deadline_ms => {
                    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Why a call would not be made now, if it would not. Nothing is counted.
    pub fn held(&self, call: &Call) -> Option<ProviderError> {
        let now_ms = self.clock.now_ms();
        let circuit = circuit_of(call);
        let budget = self.budget(call);
        let mut state = self.lock();
        let State { circuits, budgets } = &mut *state;
        if let Some(until_ms) = circuits.get(&circuit).and_then(|circuit| circuit.held_until_ms(now_ms)) {
            return Some(down(until_ms));
        }
        let (key, limit) = budget?;
        let until_ms = budgets.of(&key, limit, now_ms)?.spent_until_ms(now_ms)?;
        Some(spent(call, until_ms))
    }

    /// How many circuits are open, for metrics.
    pub fn circuits_open(&self) -> usize {
        self.lock().circuits.values().filter(|circuit| circuit.is_open()).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self, call: &Call) -> Option<(String, Limit)> {
        let provider = call.request.provider;
        let limit = self.policies.limit(&call.request, call.scope.is_some())?;
        let token = call.request.credential.as_ref().map_or("", |credential| credential.name());
        Some((format!("{} {token} {}", provider.name(), call.scope.as_deref().unwrap_or_default()), limit))
    }

    /// Waits until an attempt may be made.
    async fn leave(
        &self,
        call: &Call,
        circuit: &str,
        budget: Option<&(String, Limit)>,
        deadline_ms: u64,
    ) -> Result<(), ProviderError> {
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms >= deadline_ms {
                return Err(ProviderError::not_sent(NotSent::Late, "the deadline passed"));
            }
            let (until_ms, is_down) = match self.ask(circuit, budget, now_ms) {
                Leave::Go => return Ok(()),
                Leave::Down { until_ms } => (until_ms, true),
                Leave::Spent { until_ms } => (until_ms, false),
            };
            // An allowance comes back by itself, soon, and is worth waiting for.
            let waits = match call.while_down {
                WhileDown::Wait => true,
                WhileDown::Fail => !is_down,
                WhileDown::Tell => false,
            };
            if !waits || until_ms >= deadline_ms {
                return Err(if is_down { down(until_ms) } else { spent(call, until_ms) });
            }
            tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(now_ms).max(1))).await;
        }
    }

    /// The budget first: a probe that a circuit gave must be made.
    fn ask(&self, circuit: &str, budget: Option<&(String, Limit)>, now_ms: u64) -> Leave {
        let mut state = self.lock();
        let State { circuits, budgets } = &mut *state;
        // Asked without counting, lest a call that the circuit holds back is
        // taken off the allowance.
        if let Some(open) = circuits.get(circuit).and_then(|circuit| circuit.held_until_ms(now_ms)) {
            return Leave::Down { until_ms: open };
        }
        if let Some((key, limit)) = budget
            && let Some(budget) = budgets.of(key, *limit, now_ms)
            && let budget::Permit::Wait { until_ms } = budget.take(now_ms)
        {
            return Leave::Spent { until_ms };
        }
        match circuits.get_mut(circuit).map(|circuit| circuit.ask(now_ms)) {
            Some(retry::Permit::Wait { until_ms }) => Leave::Down { until_ms },
            _ => Leave::Go,
        }
    }

    /// Tells circuit and budget how an attempt went.
    fn note(&self, circuit: &str, budget: Option<&(String, Limit)>, made: &Attempt, given_ms: u64, now_ms: u64) {
        let mut state = self.lock();
        let has_failed = match &made.result {
            Err(ProviderError::RetryAt { cause: Cause::Failure, .. }) => true,
            // An attempt that our own deadline cut off is no failure of theirs.
            Err(ProviderError::MayHaveLanded { .. }) => made.status.is_some() || given_ms >= SLOW_MS,
            _ => false,
        };
        let is_cut_off = !has_failed && matches!(made.result, Err(ProviderError::MayHaveLanded { .. }));
        if has_failed && (state.circuits.contains_key(circuit) || state.circuits.len() < CIRCUITS_MAX) {
            let policy = &self.policies.circuit;
            state.circuits.entry_ref(circuit).or_insert_with(|| Circuit::new(policy.clone())).failed(now_ms);
        }
        // What was refused before anything was sent, says nothing.
        if !has_failed && !is_cut_off && made.status.is_some() {
            state.circuits.remove(circuit);
        }
        let Some((key, limit)) = budget else { return };
        let Some(budget) = state.budgets.of(key, *limit, now_ms) else { return };
        budget.answered(now_ms);
        match &made.result {
            Ok(answer) => budget.heed(&answer.rate, now_ms),
            Err(ProviderError::RetryAt { cause: Cause::Limit { .. }, at_ms: Some(at_ms), .. }) => {
                budget.pause(*at_ms, now_ms);
            }
            Err(_) => {}
        }
    }
}

fn down(until_ms: u64) -> ProviderError {
    let detail = "the provider is down; it is asked again later".to_owned();
    ProviderError::NotSent { why: NotSent::Down, retry_at_ms: Some(until_ms), detail }
}

fn spent(call: &Call, until_ms: u64) -> ProviderError {
    let why = NotSent::BudgetSpent { is_scoped: call.scope.is_some() };
    let detail = "the allowance at the provider is spent".to_owned();
    ProviderError::NotSent { why, retry_at_ms: Some(until_ms), detail }
}

fn circuit_of(call: &Call) -> String {
    format!("{} {}", call.request.provider.name(), call.connection)
}

fn random() -> u64 {
    // Without randomness the jitter is lost, not the call.
    getrandom::u64().unwrap_or_default()
}
