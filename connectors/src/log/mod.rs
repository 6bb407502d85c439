//! The log's implementations for production: one embedded journal, and Kafka.
//! (The memory one, for tests, is `pipeline::testing`.)

pub mod embedded;
pub mod kafka;
