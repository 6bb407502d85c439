//! The role `lookups`: asks the providers for what webhooks lack.

use std::sync::Arc;

use lookups::{Desk, Lookups};
use runtime::supervisor::{Failure, Supervisor};

use super::{Part, Role};
use crate::context::Context;

/// See the module.
pub(super) struct LookupsRole(Lookups);

impl LookupsRole {
    /// For all connections.
    pub fn create(context: &Context) -> Result<LookupsRole, Failure> {
        let (clock, metrics) = (Arc::clone(&context.clock), Arc::clone(&context.metrics));
        let desk = Desk::new(&context.config, context.links(), clock, metrics, context.guards())?;
        let (log, directory) = (Arc::clone(&context.log), Arc::clone(&context.directory));
        Ok(LookupsRole(Lookups { log, directory, desk: Arc::new(desk) }))
    }
}

impl Part for LookupsRole {
    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        supervisor.spawn(Role::Lookups.name(), move |context| self.0.clone().run(context));
    }
}
