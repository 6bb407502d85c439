//! Dead letters: looked through, and sent on their way once more.
//!
//! In: the topic `dead.letters`, which may hold more than fits into memory.
//! Out: pages of it, and its originals appended again. Whatever is asked, only
//! one page or one batch is held at a time, and only what was there when it was
//! asked is looked at: a letter that dies again during a replay is of the next.

mod look;
mod replay;

pub use self::{
    look::{Cursor, Page, find, page},
    replay::{Interrupted, NotReplayed, Replayed, Unfit, replay, replay_all},
};
