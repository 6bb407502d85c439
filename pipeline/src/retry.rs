//! When to try again, and when to stop trying: the one policy of every
//! connector.
//!
//! An attempt's failure comes in, with a random number and the time; a decision
//! goes out. Nothing here waits. While a provider as a whole is down its
//! [`Circuit`] is open: commands wait for it and burn no attempts, as trying
//! would cost them their few chances and the provider its recovery.

/// How often and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// The delay before the second attempt; each further one doubles it.
    pub backoff_first_ms: u64,
    /// What doubling stops at.
    pub backoff_max_ms: u64,
    /// The share of a delay, in percent, that is left to chance, so that what
    /// failed together does not come back together.
    pub jitter_percent: u32,
    /// The longest that a provider's `Retry-After` is obeyed.
    pub retry_after_max_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            attempts_max: 3,
            backoff_first_ms: 1_000,
            backoff_max_ms: 30_000,
            jitter_percent: 50,
            // GitHub and ClickUp answer with up to an hour when a quota is spent.
            retry_after_max_ms: 3_600_000,
        }
    }
}

/// What became of an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt may succeed: a time-out, a 429, a 5xx.
    Retryable {
        /// What the provider asked for.
        retry_after_ms: Option<u64>,
    },
    /// No further attempt can succeed: the request itself is refused.
    Final,
    /// It was not tried, or failed because the provider as a whole is down.
    Down,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after so long.
    RetryAfter {
        /// From now.
        delay_ms: u64,
    },
    /// Put it into `dead.letters`.
    GiveUp,
    /// Wait until the circuit lets it through; the attempt does not count.
    Wait,
}

/// What follows from the failure of attempt number `attempt` (from one).
/// `random` is any number; the same one gives the same decision.
pub fn decide(policy: &Policy, attempt: u32, failure: &Failure, random: u64) -> Decision {
    let retry_after_ms = match failure {
        Failure::Down => return Decision::Wait,
        Failure::Final => return Decision::GiveUp,
        Failure::Retryable { .. } if attempt >= policy.attempts_max => return Decision::GiveUp,
        Failure::Retryable { retry_after_ms } => retry_after_ms.unwrap_or(0).min(policy.retry_after_max_ms),
    };
    // Whoever says when to come back is not met earlier than that.
    let delay_ms = backoff_ms(policy, attempt, random).max(retry_after_ms);
    Decision::RetryAfter { delay_ms }
}

/// The delay after attempt number `attempt`: between its full length and that
/// less the jitter.
fn backoff_ms(policy: &Policy, attempt: u32, random: u64) -> u64 {
    let doublings = attempt.saturating_sub(1).min(63);
    let full_ms = policy.backoff_first_ms.saturating_mul(1 << doublings).min(policy.backoff_max_ms);
    let chance_ms = u128::from(full_ms) * u128::from(policy.jitter_percent.min(100)) / 100;
    // The product of two 64-bit numbers, divided by 2^64, is below the first.
    let taken_ms = (chance_ms * u128::from(random)) >> 64;
    full_ms - taken_ms as u64
}

/// When a provider counts as down, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// Failures in a row that open the circuit.
    pub failures_max: u32,
    /// How long it stays open before one call is let through.
    pub open_ms: u64,
    /// How long that one call may take before another is let through, lest a
    /// lost answer keep the circuit shut for ever.
    pub probe_ms: u64,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        CircuitPolicy { failures_max: 5, open_ms: 60_000, probe_ms: 60_000 }
    }
}

/// A circuit breaker: one a provider and connection, in the hands of whoever
/// calls it.
#[derive(Clone, Debug)]
pub struct Circuit {
    policy: CircuitPolicy,
    state: CircuitState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CircuitState {
    /// Calls go through; so many have failed in a row.
    Closed { failures: u32 },
    /// No call goes through until then.
    Open { until_ms: u64 },
    /// One call is under way to see whether the provider is back.
    Probing { until_ms: u64 },
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go ahead, and tell the circuit how it went.
    Go,
    /// Go ahead: on this one call it depends whether others may follow.
    Probe,
    /// Do not call before then.
    Wait {
        /// In the clock of `now_ms`.
        until_ms: u64,
    },
}

impl Circuit {
    /// A circuit that lets calls through.
    pub fn new(policy: CircuitPolicy) -> Self {
        Circuit { policy, state: CircuitState::Closed { failures: 0 } }
    }

    /// Asks to call. A [`Permit::Probe`] is given to one caller only.
    pub fn ask(&mut self, now_ms: u64) -> Permit {
        match self.state {
            CircuitState::Closed { .. } => Permit::Go,
            CircuitState::Open { until_ms } | CircuitState::Probing { until_ms } if now_ms < until_ms => {
                Permit::Wait { until_ms }
            }
            CircuitState::Open { .. } | CircuitState::Probing { .. } => {
                self.state = CircuitState::Probing { until_ms: now_ms.saturating_add(self.policy.probe_ms) };
                Permit::Probe
            }
        }
    }

    /// Until when calls are held back, if they are. Unlike [`Circuit::ask`],
    /// this takes nobody's place.
    pub fn held_until_ms(&self, now_ms: u64) -> Option<u64> {
        match self.state {
            CircuitState::Open { until_ms } | CircuitState::Probing { until_ms } if now_ms < until_ms => Some(until_ms),
            _ => None,
        }
    }

    /// A call was answered, if only with a refusal of what it asked: the
    /// provider is there.
    pub fn succeeded(&mut self) {
        // An answer that was under way when the circuit opened is news as well.
        self.state = CircuitState::Closed { failures: 0 };
    }

    /// A call got no answer, or one that says the provider is unwell. (A 429 is
    /// not that: it has its own delay.)
    pub fn failed(&mut self, now_ms: u64) {
        let open = CircuitState::Open { until_ms: now_ms.saturating_add(self.policy.open_ms) };
        self.state = match self.state {
            CircuitState::Closed { failures } if failures + 1 < self.policy.failures_max => {
                CircuitState::Closed { failures: failures + 1 }
            }
            CircuitState::Closed { .. } | CircuitState::Probing { .. } => open,
            // A call that began before it opened must not keep it open longer.
            CircuitState::Open { until_ms } => CircuitState::Open { until_ms },
        };
    }

    /// Whether calls are held back, for metrics and health.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, CircuitState::Closed { .. })
    }
}

#[cfg(test)]
mod tests;
