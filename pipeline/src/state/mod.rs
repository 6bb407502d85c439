//! What one partition remembers.

pub mod answers;
pub mod candidates;
pub mod directory;
pub mod governed;
pub mod index;
pub mod mirror;
pub mod notices;
pub mod tasks;
pub mod unrouted;
