//! The integration tests, in one binary: through the front door, with the real
//! log, and with the binary itself where processes are killed.
//!
//! Switched on by a variable each, and then a missing service is a failure:
//! `NEXUS_FIXTURES` (a folder of real payloads), `NEXUS_TEST_KAFKA` (a broker),
//! `NEXUS_TEST_POSTGRES` (a server), `NEXUS_TEST_MINILM` (the folder of the model),
//! `NEXUS_TEST_CLIENTS=1` (node, npm and
//! python3, and their registries), `NEXUS_TEST_PSQL=1` (psql).
#![allow(clippy::unwrap_used)] // a test may say so when something is not there

#[cfg(feature = "sql")]
const ENGINE: Option<runtime::sql::MakeEngine> = Some(analytics::engine);
#[cfg(not(feature = "sql"))]
const ENGINE: Option<runtime::sql::MakeEngine> = None;

mod agents;
mod api;
mod arroyo;
mod audit;
mod chaos;
mod commands;
mod connections;
mod documents;
mod fairness;
mod governance;
mod hostile;
mod hub;
mod kafka;
mod log;
mod lookups;
mod memory;
mod mirror;
mod process;
mod schemas;
#[cfg(feature = "sql")]
mod sql;
mod stopping;
mod store;
mod tidy;
mod webhooks;
