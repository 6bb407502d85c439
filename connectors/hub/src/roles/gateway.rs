//! The role `gateway`: keeps the agents' sockets.
//!
//! Serves `/agents/ws` and `/socket.io/`.

use std::sync::Arc;

use gateway::{Counts, Gateway, Parts, Settings};
use runtime::supervisor::{Failure, Supervisor};

use super::{Part, Role};
use crate::{context::Context, endpoints::Endpoints};

/// See the module.
pub(super) struct GatewayRole(Arc<Gateway>);

impl GatewayRole {
    /// For all agents.
    pub fn create(context: &Context) -> Result<GatewayRole, Failure> {
        let counts = Arc::new(Counts::new()?);
        context.metrics.include(counts.collectors())?;
        let gateway = Gateway::new(Parts {
            log: Arc::clone(&context.log),
            directory: Arc::clone(&context.directory),
            tokens: Arc::clone(&context.tokens),
            clock: Arc::clone(&context.clock),
            counts,
            kill_switch: Arc::clone(&context.kill_switch),
            settings: Settings::of(&context.config.agents, context.epoch),
        });
        // Set once: a role is created once in a process.
        let _ = context.online.set(gateway.online());
        Ok(GatewayRole(gateway))
    }
}

impl Part for GatewayRole {
    fn serve(&self, endpoints: &mut Endpoints) {
        endpoints.gateway = Some(Arc::clone(&self.0));
    }

    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        supervisor.spawn(Role::Gateway.name(), move |context| Arc::clone(&self.0).run(context));
    }
}
