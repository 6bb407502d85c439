//! Delays within their bounds, and every way through the circuit.

use proptest::prelude::*;

use super::*;

const AGAIN: Failure = Failure::Retryable { retry_after_ms: None };

fn delay_ms(policy: &Policy, attempt: u32, failure: Failure, random: u64) -> Option<u64> {
    match decide(policy, attempt, &failure, random) {
        Decision::RetryAfter { delay_ms } => Some(delay_ms),
        Decision::GiveUp | Decision::Wait => None,
    }
}

#[test]
fn three_attempts_then_no_more() {
    let policy = Policy::default();
    assert_eq!(delay_ms(&policy, 1, AGAIN, 0), Some(1_000));
    assert_eq!(delay_ms(&policy, 2, AGAIN, 0), Some(2_000));
    assert_eq!(delay_ms(&policy, 1, AGAIN, u64::MAX), Some(501));
    assert_eq!(decide(&policy, 3, &AGAIN, 0), Decision::GiveUp);
    assert_eq!(decide(&policy, u32::MAX, &AGAIN, 0), Decision::GiveUp);
    assert_eq!(decide(&policy, 1, &Failure::Final, 0), Decision::GiveUp);
}

#[test]
fn what_is_down_burns_no_attempt() {
    for attempt in [0, 1, 3, u32::MAX] {
        assert_eq!(decide(&Policy::default(), attempt, &Failure::Down, 0), Decision::Wait);
    }
}

#[test]
fn a_providers_own_delay_is_a_least_and_bounded() {
    let policy = Policy::default();
    let asked = |retry_after_ms| Failure::Retryable { retry_after_ms: Some(retry_after_ms) };
    assert_eq!(delay_ms(&policy, 1, asked(45_000), 7), Some(45_000));
    assert_eq!(delay_ms(&policy, 1, asked(0), 0), Some(1_000));
    assert_eq!(delay_ms(&policy, 1, asked(u64::MAX), 0), Some(3_600_000));
    assert_eq!(decide(&policy, 3, &asked(1), 0), Decision::GiveUp);
}

#[test]
fn the_circuit_opens_probes_and_closes() {
    let mut circuit = Circuit::new(CircuitPolicy::default());
    for _ in 0..4 {
        circuit.failed(1_000);
    }
    circuit.succeeded();
    for _ in 0..4 {
        circuit.failed(1_000);
    }
    assert_eq!(circuit.ask(1_000), Permit::Go, "only failures in a row count");
    circuit.failed(1_000);
    assert!(circuit.is_open());
    assert_eq!(circuit.ask(60_999), Permit::Wait { until_ms: 61_000 });

    circuit.failed(30_000);
    assert_eq!(circuit.ask(61_000), Permit::Probe, "a late failure does not prolong it");
    assert_eq!(circuit.ask(61_000), Permit::Wait { until_ms: 121_000 }, "one probe at a time");
    circuit.failed(62_000);
    assert_eq!(circuit.ask(121_999), Permit::Wait { until_ms: 122_000 });
    assert_eq!(circuit.ask(122_000), Permit::Probe);
    assert_eq!(circuit.ask(182_000), Permit::Probe, "the answer to the probe was lost");
    circuit.succeeded();
    assert_eq!(circuit.ask(182_001), Permit::Go);
    assert!(!circuit.is_open());
}

proptest! {
    #[test]
    fn delays_are_within_bounds(
        attempts_max in 1..80u32,
        backoff_first_ms: u64,
        backoff_max_ms: u64,
        jitter_percent in 0..200u32,
        attempt: u32,
        retry_after_ms: Option<u64>,
        random: u64,
    ) {
        let policy = Policy { attempts_max, backoff_first_ms, backoff_max_ms, jitter_percent, retry_after_max_ms: 600_000 };
        match delay_ms(&policy, attempt, Failure::Retryable { retry_after_ms }, random) {
            None => prop_assert!(attempt >= attempts_max),
            Some(delay_ms) => {
                prop_assert!(attempt < attempts_max);
                prop_assert!(delay_ms <= backoff_max_ms.max(600_000));
                prop_assert!(delay_ms >= retry_after_ms.unwrap_or(0).min(600_000));
                let full = u128::from(backoff_first_ms) << attempt.saturating_sub(1).min(63);
                let least = full.min(u128::from(backoff_max_ms)) * u128::from(100 - jitter_percent.min(100)) / 100;
                prop_assert!(u128::from(delay_ms) >= least);
            }
        }
    }

    /// Whatever happens, at most one call is under way while the circuit is not
    /// closed, and every wait has an end that lets a call through.
    #[test]
    fn the_circuit_never_sticks(steps in proptest::collection::vec((0..3u8, 0..90_000u64), 1..60)) {
        let mut circuit = Circuit::new(CircuitPolicy::default());
        let (mut now_ms, mut probe_until_ms) = (0, 0);
        for (step, passed_ms) in steps {
            now_ms += passed_ms;
            match step {
                0 => circuit.succeeded(),
                1 => circuit.failed(now_ms),
                _ => {}
            }
            if step < 2 {
                probe_until_ms = 0;
            }
            match circuit.ask(now_ms) {
                Permit::Go => prop_assert!(!circuit.is_open()),
                Permit::Probe => {
                    prop_assert!(now_ms >= probe_until_ms, "a second probe");
                    probe_until_ms = now_ms + 60_000;
                }
                Permit::Wait { until_ms } => {
                    prop_assert!(now_ms < until_ms && until_ms <= now_ms + 60_000);
                    prop_assert_eq!(circuit.clone().ask(until_ms), Permit::Probe);
                }
            }
        }
    }
}
