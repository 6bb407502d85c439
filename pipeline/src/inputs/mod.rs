//! What the pipeline reads: one file an input topic.

pub mod actions;
pub mod commands;
pub mod normalize;
