//! Every nth: happenings come in, and each time that n of them are together it
//! is said.
//!
//! Time plays no part. Guaranteed: of any n happenings that follow each other
//! exactly one is an nth. Memory: one number below n.

use serde::{Deserialize, Serialize};

/// The rule. What it remembers is [`Counted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryNth {
    /// How many are one window; 0 is taken for 1.
    pub n: u32,
}

/// How many came since the last nth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counted(pub u32);

impl EveryNth {
    /// One more; whether it is an nth. Where n became smaller than what was
    /// counted already, the next is.
    pub fn count(self, counted: &mut Counted) -> bool {
        counted.0 = counted.0.saturating_add(1);
        let is_nth = counted.0 >= self.n.max(1);
        if is_nth {
            counted.0 = 0;
        }
        is_nth
    }
}
