//! Jira's documents (Atlassian Document Format).

mod read;
mod write;

pub(super) use read::{read, read_rich};
pub(super) use write::write;
