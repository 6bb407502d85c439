//! At most so many in any stretch of time, exactly: a time comes in, whether
//! there is room goes out.
//!
//! Guaranteed, of the times that were taken: no half-open stretch of
//! `window_ms` holds more than `limit` of them, and none is refused while its
//! window held fewer. A refusal changes nothing, so that it costs no write.
//!
//! Memory: `limit` times of 8 bytes a subject, since only those can matter.

use crate::governance::window::Times;

/// The rule. What it remembers is [`Times`].
///
/// ```
/// use pipeline::governance::window::{Sliding, Times};
/// let (rule, mut taken) = (Sliding { limit: 2, window_ms: 60_000 }, Times::default());
/// assert_eq!(rule.try_take(&mut taken, 1_000), Ok(()));
/// assert_eq!(rule.try_take(&mut taken, 11_000), Ok(()));
/// assert_eq!(rule.try_take(&mut taken, 21_000), Err(40_000));
/// assert_eq!(rule.try_take(&mut taken, 61_000), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    /// How many a window holds. Nothing passes where it is 0.
    pub limit: u32,
    /// How long a window is. When it grows, what the shorter window had let go
    /// stays forgotten.
    pub window_ms: u64,
}

impl Sliding {
    /// Takes a place at `now_ms`, or says in how many milliseconds of the clock
    /// there will be one, if nobody else takes it.
    pub fn try_take(self, taken: &mut Times, now_ms: u64) -> Result<(), u64> {
        self.room(taken, now_ms)?;
        self.take(taken, now_ms);
        Ok(())
    }

    /// The same question; takes nothing.
    pub fn room(self, taken: &Times, now_ms: u64) -> Result<(), u64> {
        let clock = taken.clock(now_ms);
        let limit = self.limit as usize;
        if self.held(taken, now_ms) < limit {
            return Ok(());
        }
        // There is room when the limit-th newest leaves; without a limit, never:
        // asking again after a whole window is as good as any time.
        let leaves = taken.len().checked_sub(limit).and_then(|index| taken.0.get(index));
        Err(leaves.map_or(self.window_ms, |leaves| self.window_ms - (clock - leaves)))
    }

    /// Counts one at `now_ms` without asking, for a limit that only watches:
    /// the newest `limit` are remembered, and a limit that grows begins there.
    pub fn take(self, taken: &mut Times, now_ms: u64) {
        let clock = taken.clock(now_ms);
        taken.forget(clock, self.window_ms);
        taken.0.push_back(clock);
        while taken.len() > self.limit as usize {
            taken.0.pop_front();
        }
    }

    /// How many are in the window that ends at `now_ms`.
    pub fn held(self, taken: &Times, now_ms: u64) -> usize {
        let clock = taken.clock(now_ms);
        taken.len() - taken.0.partition_point(|time| clock - time >= self.window_ms)
    }

    /// How many could be taken at `now_ms`, one after the other.
    pub fn free(self, taken: &Times, now_ms: u64) -> usize {
        (self.limit as usize).saturating_sub(self.held(taken, now_ms))
    }

    /// From when on the state says nothing any more: then it need not be kept.
    pub fn expires_at(self, taken: &Times) -> Option<u64> {
        Some(taken.last()?.saturating_add(self.window_ms))
    }
}
