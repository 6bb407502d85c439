//! Plain functions: no runtime, no state, no clock of their own.
//!
//! The operators call them in process, the SQL engine registers them, and each
//! can be wrapped as a plugin for another stream engine.

// A test that unwraps fails where it should.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cloudevents;
pub mod form;
pub mod hash;
pub mod json;
pub mod keys;
pub mod markup;
pub mod mentions;
pub mod normal;
pub mod recall;
pub mod signature;
pub mod similar;
pub mod time;
