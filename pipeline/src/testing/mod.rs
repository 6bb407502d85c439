//! What tests run on instead of the world: a log in memory that can fail and
//! crash when told to, and a clock that stands still until it is moved.

#[cfg(test)]
mod faults;
mod memory_log;
mod memory_port;
mod memory_session;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::ports::Clock;

#[cfg(test)]
pub(crate) use faults::Faults;
pub use memory_log::MemoryLog;

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn at(now_ms: u64) -> Self {
        ManualClock(AtomicU64::new(now_ms))
    }

    /// Shows another time, earlier ones too.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, SeqCst);
    }

    /// Moves on.
    pub fn advance(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::{
        ports::{Batch, Headers, Log, LogError, NewRecord},
        topics::Topic,
    };

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn event(value: &'static str) -> NewRecord {
        let (topic, value) = (Topic::Events, Some(value.into()));
        NewRecord { topic, partition: 0, at_ms: 0, key: "acme".into(), value, headers: Headers::default() }
    }

    fn seen(log: &MemoryLog) -> Vec<String> {
        let texts = log.records(Topic::Events).into_iter().map(|record| record.value.unwrap_or_default());
        texts.map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
    }

    #[test]
    fn a_crash_takes_what_was_held() {
        let log = MemoryLog::new(1);
        now(log.append(vec![event("first")])).expect("at once").expect("an append");
        let mut member = now(log.join("pipeline", &[Topic::Events])).expect("at once").expect("a place");
        let mut session = now(member.next()).expect("at once").expect("a session");
        log.hold();
        let mut lost = log.append(vec![event("lost")]);
        assert!(now(&mut lost).is_none());
        let batch = Batch { outputs: vec![event("lost too")], next_offsets: vec![(Topic::Events, 1)] };
        now(session.commit(batch)).expect("at once").expect("taken");
        log.crash();
        assert!(matches!(now(&mut lost), Some(Err(LogError::Closed))));
        assert!(matches!(now(session.commit(Batch::default())), Some(Err(LogError::Fenced { .. }))));
        assert_eq!(seen(&log), ["first"]);
        let lag = now(log.lag("pipeline", &[Topic::Events])).expect("at once").expect("the lag");
        assert_eq!((lag[0].group_offset, lag[0].end_offset), (None, 1));

        log.hold();
        let mut kept = log.append(vec![event("kept")]);
        assert!(now(&mut kept).is_none());
        log.release();
        let positions = now(&mut kept).expect("released").expect("an append");
        assert_eq!((positions[0].offset, seen(&log)), (1, vec!["first".to_owned(), "kept".to_owned()]));
    }

    #[test]
    fn failures_are_used_up() {
        let log = MemoryLog::new(1);
        log.fail_next_append(LogError::Busy { bound_bytes: 1 });
        assert!(matches!(now(log.append(vec![event("x")])), Some(Err(LogError::Busy { .. }))));
        now(log.append(vec![event("y")])).expect("at once").expect("an append");
        assert_eq!(seen(&log), ["y"]);
    }
}
