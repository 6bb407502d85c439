//! When to try again, and when to stop trying.
