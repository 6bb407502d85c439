//! ClickUp's comments: lists of blocks, each a stretch of text in one format;
//! the block that ends a line carries the format of the whole line.

mod plain;
mod read;
mod write;

pub(super) use plain::plain;
pub(super) use read::read;
pub(super) use write::write;
