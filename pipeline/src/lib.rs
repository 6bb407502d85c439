//! The dataflow of Nexus, without a runtime.
//!
//! Records come in from a [`ports::Log`], a chain of pure operators turns them
//! into other records, and one atomic commit writes those back together with
//! the state that changed and the offsets that were read. Nothing here waits,
//! looks at a clock, draws a random number or names a database: time and ids
//! are arguments, so a test is a list of records and a crash is a replay.
//!
//! Start reading at [`flow`].

pub mod chain;
pub mod draft;
pub mod event;
pub mod event_builder;
pub mod flow;
pub mod governance;
pub mod inputs;
pub mod ports;
pub mod retry;
pub mod settings;
pub mod stages;
pub mod state;
pub mod testing;
pub mod topics;
pub mod turn;
pub mod worker;
