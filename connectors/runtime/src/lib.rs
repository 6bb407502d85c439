//! What every connector stands on: configuration, telemetry, the HTTP server,
//! authentication, sealed secrets, the supervisor, the kill switch and the one
//! loop of consumer groups.
//!
//! In: settings, the log. Out: nothing of its own. Guaranteed: nothing here knows
//! a provider, a table or a role.

pub mod acts;
pub mod auth;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod directory;
pub mod epoch;
pub mod http;
pub mod identity;
pub mod keys;
pub mod kill_switch;
pub mod process;
pub mod sealing;
pub mod sessions;
pub mod sql;
pub mod supervisor;
pub mod tail;
pub mod telemetry;
