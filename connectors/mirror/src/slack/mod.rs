//! Slack: messages in channels and threads, whispers, channels. It has no tasks.

pub(super) mod channel;
pub(super) mod find;
pub(super) mod write;
