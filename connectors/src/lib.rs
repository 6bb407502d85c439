//! Everything that waits: logs, HTTP, stores and providers.
//!
//! A connector reads one topic and writes what became of it to another, so that
//! a crash anywhere is a replay. [`roles`] lists which role runs which, [`hub`]
//! puts a process together.
