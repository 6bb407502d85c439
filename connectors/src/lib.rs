//! Everything that waits: logs, HTTP, stores and providers.
//!
//! A connector reads one topic and writes what became of it to another, so that
//! a crash anywhere is a replay. [`roles`] lists which role runs which, [`hub`]
//! puts a process together.

pub mod acts;
pub mod agents;
pub mod alerts;
pub mod api;
pub mod auth;
pub mod brake;
pub mod clock;
pub mod config;
pub mod connections;
pub mod dead_letters;
pub mod directory;
pub mod dry_run;
pub mod epoch;
pub mod fakes;
mod gathering;
pub mod http;
pub mod hub;
pub mod identity;
pub mod in_flight;
pub mod ingest;
pub mod keys;
pub mod links;
pub mod log;
pub mod lookups;
pub mod memory;
pub mod mirror;
pub mod outgoing;
pub mod own_ids;
pub mod process;
pub mod roles;
pub mod samples;
pub mod sealing;
pub mod seeding;
pub mod sessions;
pub mod sql;
pub mod store;
pub mod supervisor;
pub mod tail;
pub mod telemetry;
pub mod tools;
pub mod trail;
pub mod workers;
