//! Markdown as GitHub, ClickUp and agents write it.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;
