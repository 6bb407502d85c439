//! The memory: texts are learned, found again and summed up, each project on
//! its own.
//!
//! In: `memory.requests`, as the consumer group [`GROUP`], in order. Out: texts
//! and summaries in the store, vectors in [`vectors`], one result for each
//! request on `memory.results`. Guaranteed: the group moves on only past what
//! is done, and doing a request twice is the same as once, so a crash loses and
//! doubles nothing; what a model or the store cannot take now waits, and
//! what they never will goes to `dead.letters`.
//!
//! [`recall`] is what the role and the API share, [`requests`] is what
//! [`runtime::consumer`] does with a partition's, [`embed`] makes vectors, [`summarise`] makes summaries, [`reembed`]
//! moves to another model.

pub mod embed;
mod fence;
mod learn;
pub mod recall;
pub mod reembed;
mod requests;
pub mod role;
pub mod summarise;
pub mod vectors;

pub use fence::fenced;
pub use recall::{Found, Query, Recall};
pub use role::{GROUP, Memory};
