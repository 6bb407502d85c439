//! Makes a stage panic at a record that a test has chosen, and notes which stage
//! was at work at which record.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ports::Position;

/// A stage or input at work at a record.
pub type Entered = (&'static str, Position);

/// Where to panic.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    at: Vec<Entered>,
    entered: Option<Arc<Mutex<Vec<Entered>>>>,
}

impl Faults {
    /// Panics in these.
    pub fn at(at: Vec<Entered>) -> Self {
        Faults { at, entered: None }
    }

    /// Panics nowhere, and notes what is at work.
    pub fn recording() -> Self {
        Faults { at: Vec::new(), entered: Some(Arc::default()) }
    }

    /// What was noted, in order.
    pub fn entered(&self) -> Vec<Entered> {
        let entered = self.entered.as_ref().map(|entered| entered.lock().unwrap_or_else(PoisonError::into_inner));
        entered.map(|entered| entered.clone()).unwrap_or_default()
    }

    /// Panics where it was asked for.
    pub fn check(&self, name: &'static str, source: Position) {
        if let Some(entered) = &self.entered {
            entered.lock().unwrap_or_else(PoisonError::into_inner).push((name, source));
        }
        if self.at.contains(&(name, source)) {
            panic!("a fault in {name}");
        }
    }
}
