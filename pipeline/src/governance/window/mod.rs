//! Windows over the log's clock: what happened comes in with its time, whether
//! there is room, or what a closed window held, goes out.
//!
//! | file | window | remembers |
//! |---|---|---|
//! | [`sliding`] | at most `limit` in any `window_ms` | the last `limit` times |
//! | [`tumbling`] | sums over fixed stretches of time | one stretch and its sum |
//! | [`counting`] | every nth | a number below n |
//! | [`recent`] | what was seen lately, with its values | the last `items_max` |
//!
//! A window is a small `Copy` rule, and what it remembers is a value beside it:
//! so limits can change while state lives on, and the state of one subject is
//! one entry of `pipeline.state`. Written and read again, a state equals what it
//! was and decides as it would have.
//!
//! A window is **half-open**: what happened at `s` counts at `t` while
//! `t - s < window_ms`, and no longer at exactly `s + window_ms`.
//!
//! **The clock never goes back.** The log's clock does not; should a caller give
//! a time before one that the window has already counted, then that later time
//! is taken for it. Equal times are distinct happenings in the order of calls.

pub mod counting;
pub mod recent;
pub mod sliding;
#[cfg(test)]
mod tests;
mod times;
pub mod tumbling;

pub use counting::{Counted, EveryNth};
pub use recent::{Lately, Recent};
pub use sliding::Sliding;
pub use times::Times;
pub use tumbling::{Sum, Tumbling};
