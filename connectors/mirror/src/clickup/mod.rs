//! ClickUp: comments of tasks, and the tasks' statuses.

pub(super) mod find;
pub(super) mod status;
pub(super) mod write;
