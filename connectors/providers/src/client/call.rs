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
    client::{Http, Request},
    outcome::{Outcome, Provider, Trouble},
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

/// Why a call ended without an answer that says it was done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// The provider's last word.
    #[error("{}", .0.trouble().map_or("done", |trouble| &trouble.detail))]
    Answered(Outcome),
    /// The provider is down: nothing was asked.
    #[error("the provider is down; it is asked again later")]
    Down {
        /// When.
        until_ms: u64,
    },
    /// The allowance is spent: nothing was asked.
    #[error("the allowance is spent until {until_ms}")]
    Spent {
        /// Until when.
        until_ms: u64,
    },
    /// The deadline had passed before anything could be asked.
    #[error("the deadline passed")]
    Late,
}

/// How often, how patiently, how much.
#[derive(Clone, Debug)]
pub struct Policies {
    /// Attempts.
    pub retry: Policy,
    /// When a provider counts as down.
    pub circuit: CircuitPolicy,
    /// Allowances that differ from the providers' own.
    pub limits: Vec<(Provider, Limit)>,
    /// In which time a Slack channel takes one message.
    pub slack_channel_ms: u64,
}

impl Default for Policies {
    fn default() -> Self {
        let (retry, circuit, limits) = Default::default();
        Policies { retry, circuit, limits, slack_channel_ms: 1_000 }
    }
}

impl Policies {
    /// What a token may spend at a provider, until its answers say otherwise.
    fn limit(&self, provider: Provider, has_scope: bool) -> Option<Limit> {
        if let Some((_, limit)) = self.limits.iter().find(|(known, _)| *known == provider) {
            return Some(*limit);
        }
        match provider {
            Provider::ClickUp => Some(Limit { calls_max: 100, window_ms: 60_000 }),
            // A message a second and channel; other methods tell their limits.
            Provider::Slack if has_scope => Some(Limit { calls_max: 1, window_ms: self.slack_channel_ms }),
            // Of GitHub's and Slack's own, and Jira's, only the pauses count:
            // they are per method or by cost.
            Provider::Slack | Provider::GitHub | Provider::Jira => {
                Some(Limit { calls_max: usize::MAX, window_ms: 1_000 })
            }
            Provider::Other => None,
        }
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

    /// Makes a call, until it is done, refused, out of attempts or too late.
    pub async fn call(&self, call: &Call) -> Result<super::Answer, Stopped> {
        let circuit = circuit_of(call);
        let budget = self.budget(call);
        let deadline_ms = call.deadline_ms.unwrap_or(u64::MAX);
        let mut attempt = 0;
        loop {
            self.leave(call, &circuit, budget.as_ref(), deadline_ms).await?;
            attempt += 1;
            let begun_ms = self.clock.now_ms();
            let left_ms = deadline_ms.saturating_sub(begun_ms).min(self.http.limits().timeout_ms);
            let outcome = self.http.send(&call.request, Duration::from_millis(left_ms), begun_ms).await;
            let now_ms = self.clock.now_ms();
            self.note(&circuit, budget.as_ref(), &outcome, left_ms, now_ms);
            let failure = match &outcome {
                Outcome::Ok(answer) => return Ok(answer.clone()),
                Outcome::Unauthorised(_) | Outcome::Permanent(_) => Failure::Final,
                Outcome::RateLimited { until_ms, .. } => {
                    Failure::Retryable { retry_after_ms: Some(until_ms.saturating_sub(now_ms)) }
                }
                Outcome::Retryable { may_have_landed: true, .. } if !call.request.is_repeatable => Failure::Final,
                Outcome::Retryable { retry_at_ms, .. } => {
                    Failure::Retryable { retry_after_ms: retry_at_ms.map(|at_ms| at_ms.saturating_sub(now_ms)) }
                }
            };
            match retry::decide(&self.policies.retry, attempt, &failure, random()) {
                Decision::RetryAfter { delay_ms } if now_ms.saturating_add(delay_ms) < deadline_ms => {
                    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                }
                _ => return Err(Stopped::Answered(outcome)),
            }
        }
    }

    /// Why a call would not be made now, if it would not. Nothing is counted.
    pub fn held(&self, call: &Call) -> Option<Stopped> {
        let now_ms = self.clock.now_ms();
        let circuit = circuit_of(call);
        let budget = self.budget(call);
        let mut state = self.lock();
        let State { circuits, budgets } = &mut *state;
        if let Some(until_ms) = circuits.get(&circuit).and_then(|circuit| circuit.held_until_ms(now_ms)) {
            return Some(Stopped::Down { until_ms });
        }
        let (key, limit) = budget?;
        let until_ms = budgets.of(&key, limit, now_ms)?.spent_until_ms(now_ms)?;
        Some(Stopped::Spent { until_ms })
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
        let limit = self.policies.limit(provider, call.scope.is_some())?;
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
    ) -> Result<(), Stopped> {
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms >= deadline_ms {
                return Err(Stopped::Late);
            }
            let (until_ms, stopped) = match self.ask(circuit, budget, now_ms) {
                Leave::Go => return Ok(()),
                Leave::Down { until_ms } => (until_ms, Stopped::Down { until_ms }),
                Leave::Spent { until_ms } => (until_ms, Stopped::Spent { until_ms }),
            };
            // An allowance comes back by itself, soon, and is worth waiting for.
            let waits = match call.while_down {
                WhileDown::Wait => true,
                WhileDown::Fail => matches!(stopped, Stopped::Spent { .. }),
                WhileDown::Tell => false,
            };
            if !waits || until_ms >= deadline_ms {
                return Err(stopped);
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
    fn note(&self, circuit: &str, budget: Option<&(String, Limit)>, outcome: &Outcome, given_ms: u64, now_ms: u64) {
        let mut state = self.lock();
        let no_answer = |trouble: &Trouble| trouble.status.is_none();
        match outcome {
            Outcome::Retryable { trouble, may_have_landed, .. } => {
                let cut_off = no_answer(trouble) && *may_have_landed && given_ms < SLOW_MS;
                if !cut_off && (state.circuits.contains_key(circuit) || state.circuits.len() < CIRCUITS_MAX) {
                    let policy = &self.policies.circuit;
                    state.circuits.entry_ref(circuit).or_insert_with(|| Circuit::new(policy.clone())).failed(now_ms);
                }
            }
            // What was refused before anything was sent, says nothing.
            Outcome::Permanent(trouble) if no_answer(trouble) => {}
            _ => {
                state.circuits.remove(circuit);
            }
        }
        let Some((key, limit)) = budget else { return };
        let Some(budget) = state.budgets.of(key, *limit, now_ms) else { return };
        budget.answered(now_ms);
        match outcome {
            Outcome::Ok(answer) => budget.heed(&answer.rate, now_ms),
            Outcome::RateLimited { until_ms, .. } => budget.pause(*until_ms, now_ms),
            _ => {}
        }
    }
}

fn circuit_of(call: &Call) -> String {
    format!("{} {}", call.request.provider.name(), call.connection)
}

fn random() -> u64 {
    // Without randomness the jitter is lost, not the call.
    getrandom::u64().unwrap_or_default()
}
