//! Jira Cloud: comments of issues, and the issues' statuses.

pub(super) mod find;
pub(super) mod status;
pub(super) mod write;

/// Below this is everything.
const API: [&str; 3] = ["rest", "api", "3"];
