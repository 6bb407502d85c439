//! Markdown as GitHub, ClickUp and agents write it.

mod read;
mod write;

pub(super) use read::{read, read_rich};
pub(super) use write::write;
