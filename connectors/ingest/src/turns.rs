//! Fairness: a tenant has so many requests in progress, and so many waiting for
//! their turn. One sender's flood fills its own queue and nobody else's.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Semaphore, SemaphorePermit};

/// One tenant's turns.
pub struct Turns {
    places: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// A turn that was given; it ends when this is dropped.
pub struct Turn<'a>(#[allow(dead_code)] SemaphorePermit<'a>);

impl Turns {
    /// So many at once, and so many waiting.
    pub fn new(at_once_max: usize, waiting_max: usize) -> Self {
        Turns { places: Semaphore::new(at_once_max.max(1)), waiting: AtomicUsize::new(0), waiting_max }
    }

    /// A turn, after a wait if need be; `None` when too many wait already.
    pub async fn next(&self) -> Option<Turn<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(Turn(place));
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before >= self.waiting_max {
            return None;
        }
        // The semaphore is never closed.
        self.places.acquire().await.ok().map(Turn)
    }
}

/// Counts a waiting request for as long as it waits, also when it is dropped.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Waiting { count, before: count.fetch_add(1, Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn beyond_its_places_a_tenant_waits_and_beyond_that_it_is_refused() {
        let turns = Turns::new(1, 1);
        let first = turns.next().await.expect("a free place");
        let mut second = Box::pin(turns.next());
        assert!(timeout(Duration::from_millis(1), &mut second).await.is_err(), "the second waits");
        assert!(turns.next().await.is_none(), "the third is refused");
        drop(first);
        assert!(second.await.is_some(), "the second's turn came");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_leaves_room() {
        let turns = Turns::new(1, 1);
        let _first = turns.next().await.expect("a free place");
        assert!(timeout(Duration::from_millis(1), turns.next()).await.is_err());
        assert!(timeout(Duration::from_millis(1), turns.next()).await.is_err(), "waits, and is not refused");
    }
}
