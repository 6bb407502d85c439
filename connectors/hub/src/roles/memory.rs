//! The role `memory`: learns what is said, and sums threads up.
//!
//! Searches are answered by the role `api`, over the same store.

use std::sync::Arc;

use memory::{
    Memory,
    role::{Bench, Counts},
};
use pipeline::retry::Policy;
use runtime::supervisor::{Failure, Supervisor};

use super::{Part, Role};
use crate::context::Context;

/// See the module.
pub(super) struct MemoryRole(Memory);

impl MemoryRole {
    /// With the configuration's models.
    pub async fn create(context: &Context) -> Result<MemoryRole, Failure> {
        let policy = Policy { attempts_max: context.config.retries.attempts_max, ..Policy::default() };
        let counts = Counts::new()?;
        context.metrics.include(counts.collectors())?;
        let bench = Bench { recall: context.recall().await?, policy, counts };
        Ok(MemoryRole(Memory { log: Arc::clone(&context.log), bench: Arc::new(bench) }))
    }
}

impl Part for MemoryRole {
    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        supervisor.spawn(Role::Memory.name(), move |context| self.0.clone().run(context));
    }
}
