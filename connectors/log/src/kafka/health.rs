//! What is known of the brokers: what became of the last deliveries, and whether
//! they answered the last question. Recovers by itself.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use pipeline::ports::LogError;

/// A failed delivery speaks for so long, unless a later one succeeds; then
/// traffic is let in again, to try.
const FAILURE_KEEPS: Duration = Duration::from_secs(3);

/// What is known of the brokers.
pub(super) struct BrokerHealth {
    waiting_bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    /// Set while `failure` is, so that a success costs one load.
    failed: AtomicBool,
    failure: Mutex<Option<(Instant, String)>>,
    silence: Mutex<Option<String>>,
}

impl BrokerHealth {
    pub(super) fn new(bytes_max: usize, waiting_bytes: Arc<AtomicUsize>) -> Self {
        BrokerHealth {
            waiting_bytes,
            bytes_max,
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            silence: Mutex::new(None),
        }
    }

    pub(super) fn delivered(&self) {
        if self.failed.swap(false, Relaxed) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn delivery_failed(&self, detail: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), detail));
        self.failed.store(true, Relaxed);
    }

    pub(super) fn answered(&self, answer: Result<(), String>) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*silence, &answer) {
            (None, Err(detail)) => tracing::warn!(detail, "no answer from kafka"),
            (Some(_), Ok(())) => tracing::info!("kafka answers again"),
            _ => {}
        }
        *silence = answer.err();
    }

    pub(super) fn ready(&self) -> Result<(), LogError> {
        if self.waiting_bytes.load(SeqCst) >= self.bytes_max {
            return Err(LogError::Busy { bound_bytes: self.bytes_max });
        }
        if let Some(detail) = &*self.silence.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(LogError::Unavailable { detail: detail.clone() });
        }
        if self.failed.load(Relaxed)
            && let Some((at, detail)) = &*self.failure.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < FAILURE_KEEPS
        {
            return Err(LogError::Unavailable { detail: detail.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_back_by_itself() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let health = BrokerHealth::new(100, waiting.clone());
        assert!(health.ready().is_ok());
        health.delivery_failed("timed out".into());
        assert!(matches!(health.ready(), Err(LogError::Unavailable { .. })));
        health.delivered();
        assert!(health.ready().is_ok());
        health.answered(Err("transport failure".into()));
        assert!(matches!(health.ready(), Err(LogError::Unavailable { .. })));
        health.answered(Ok(()));
        waiting.store(100, SeqCst);
        assert!(matches!(health.ready(), Err(LogError::Busy { bound_bytes: 100 })));
    }
}
