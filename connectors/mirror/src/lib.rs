//! The role `mirror`: does at the providers what the pipeline has decided.
//!
//! In: `mirror.commands`, as the consumer group [`GROUP`]. Out: on
//! `mirror.results` one `claimed` and one end for each command; what cannot be
//! done goes to `dead.letters` as well. Guaranteed:
//!
//! * **Claim, call, confirm.** The claim is durable before the first call. What
//!   was claimed and has no end, or got no answer, is looked for at the provider
//!   by our mark after a settling time, before anything is sent again. Where the
//!   provider cannot tell, the end is `uncertain` and nothing is sent.
//! * Commands of one lane are done one after the other ([`lanes`]). Tenants take
//!   turns; what waits for a limit holds up nothing that need not wait for it.
//! * No provider's limit is knowingly passed, and while a provider is down
//!   commands wait without losing attempts ([`providers::client`]).
//! * The group moves on only past commands that have ended, together with their
//!   results. Bounded numbers of commands are in memory; the rest is in the log.
//!
//! [`runtime::consumer`] reads the partitions and writes what `commands` makes of
//! them, claims and ends; one `scheduler` says which job goes next; `perform` does
//! one attempt of it, through the provider's
//! [`Write`](providers::capability::Write).

mod claims;
mod commands;
mod counts;
mod job;
pub mod lanes;
mod perform;
mod reconcile;
mod render;
mod role;
mod scheduler;
mod target;

pub use counts::Counts;
pub use role::{GROUP, Mirror};
pub use scheduler::Bench;
