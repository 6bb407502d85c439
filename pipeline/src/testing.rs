//! The memory log, a manual clock and fault injection.
