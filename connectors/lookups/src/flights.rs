//! The same thing asked for twice at once is fetched once, and what was found
//! is good for a moment more: one change of a task comes as three webhooks.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future::Shared};
use hashbrown::HashMap;
use pipeline::ports::Clock;

type Flight<T> = Shared<Pin<Box<dyn Future<Output = Landed<T>> + Send>>>;

/// Things that are remembered at the same time. Beyond it nothing is shared.
const FLIGHTS_MAX: usize = 20_000;

/// What was found, and when.
#[derive(Clone)]
struct Landed<T> {
    found: T,
    at_ms: u64,
}

/// What is being fetched, and what was just now.
pub(super) struct Flights<T> {
    by_key: Mutex<HashMap<String, Flight<T>>>,
    clock: Arc<dyn Clock>,
    keep_ms: u64,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// What is found is good for so long.
    pub(super) fn new(clock: Arc<dyn Clock>, keep_ms: u64) -> Self {
        Flights { by_key: Mutex::default(), clock, keep_ms }
    }

    /// What `fetch` finds, or what another found or is about to find under the
    /// same key. Tells also whether it was another. Whoever waits carries the
    /// fetching on: it ends only when nobody waits any more.
    pub(super) async fn join<F>(&self, key: &str, keeps: fn(&T) -> bool, fetch: impl FnOnce() -> F) -> (T, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (flight, is_other) = self.board(key, keeps, fetch);
        (flight.await.found, is_other)
    }

    fn board<F>(&self, key: &str, keeps: fn(&T) -> bool, fetch: impl FnOnce() -> F) -> (Flight<T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let now_ms = self.clock.now_ms();
        let is_good = |flight: &Flight<T>| match flight.peek() {
            Some(landed) => keeps(&landed.found) && now_ms.saturating_sub(landed.at_ms) < self.keep_ms,
            // One that everybody has left goes on with whoever comes next.
            None => true,
        };
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = by_key.get(key).filter(|flight| is_good(flight)) {
            return (flight.clone(), true);
        }
        let (clock, fetching) = (Arc::clone(&self.clock), fetch());
        let flight = async move {
            let found = fetching.await;
            Landed { found, at_ms: clock.now_ms() }
        };
        let flight = flight.boxed().shared();
        if by_key.len() >= FLIGHTS_MAX {
            by_key.retain(|_, flight| is_good(flight) && flight.strong_count() != Some(1));
        }
        if by_key.len() < FLIGHTS_MAX {
            by_key.insert(key.to_owned(), flight.clone());
        }
        (flight, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::testing::ManualClock;
    use std::{
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    type Found = Result<u32, ()>;

    fn flights() -> (Arc<Flights<Found>>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(1_000));
        (Arc::new(Flights::new(Arc::clone(&clock) as Arc<dyn Clock>, 2_000)), clock)
    }

    async fn count(flights: &Flights<Found>, calls: &Arc<AtomicU32>, succeeds: bool) -> (Found, bool) {
        let calls = Arc::clone(calls);
        let fetch = || async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let call = calls.fetch_add(1, Relaxed);
            if succeeds { Ok(call) } else { Err(()) }
        };
        flights.join("key", Result::is_ok, fetch).await
    }

    #[tokio::test(start_paused = true)]
    async fn at_once_is_once_and_a_moment_later_too() {
        let ((flights, clock), calls) = (flights(), Arc::default());
        let found = tokio::join!(count(&flights, &calls, true), count(&flights, &calls, true));
        assert_eq!(found, ((Ok(0), false), (Ok(0), true)));
        clock.advance(1_999);
        assert_eq!(count(&flights, &calls, true).await, (Ok(0), true));
        clock.advance(1);
        assert_eq!(count(&flights, &calls, true).await, (Ok(1), false), "it is not good any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_but_not_kept() {
        let ((flights, _), calls) = (flights(), Arc::default());
        let found = tokio::join!(count(&flights, &calls, false), count(&flights, &calls, true));
        assert_eq!(found, ((Err(()), false), (Err(()), true)));
        assert_eq!(count(&flights, &calls, true).await, (Ok(1), false));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_nobody_along() {
        let ((flights, _), calls) = (flights(), Arc::default());
        let mut first = Box::pin(count(&flights, &calls, true));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut first).await.is_err());
        let second = tokio::spawn({
            let (flights, calls) = (Arc::clone(&flights), Arc::clone(&calls));
            async move { count(&flights, &calls, true).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(second.await.expect("ends"), (Ok(0), true));
        assert_eq!(calls.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let (flights, _) = flights();
        for key in 0..FLIGHTS_MAX + 100 {
            let (answer, _) = flights.join(&key.to_string(), Result::is_ok, || async { Ok(0) }).await;
            answer.expect("asked");
        }
        assert!(flights.by_key.lock().expect("unpoisoned").len() <= FLIGHTS_MAX);
    }
}
