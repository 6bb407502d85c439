//! Markdown as GitHub, ClickUp and agents write it.

#[cfg(test)]
mod oracle;
mod read;
mod write;

pub(super) use read::{read, read_rich};
pub(super) use write::write;
