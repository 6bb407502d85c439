//! The role `mirror`: writes at the providers what the pipeline decides, and tells
//! people of alerts.

use std::sync::Arc;

use alerts::{AlertNotifier, Alerts};
use mirror::{Bench, Mirror};
use runtime::supervisor::{Failure, Supervisor};

use super::{Part, Role};
use crate::context::Context;

/// See the module.
pub(super) struct MirrorRole {
    mirror: Mirror,
    alerts: Alerts,
}

impl MirrorRole {
    /// For all connections.
    pub fn create(context: &Context) -> Result<MirrorRole, Failure> {
        let (directory, clock) = (Arc::clone(&context.directory), Arc::clone(&context.clock));
        let bench = Arc::new(Bench::new(&context.config, context.links(), directory, clock, context.guards())?);
        context.metrics.include(bench.counts.collectors())?;
        let (directory, seal) = (Arc::clone(&context.directory), Arc::clone(&context.seal));
        let notifier = AlertNotifier::new(&context.config, directory, seal, Arc::clone(&context.clock))?;
        context.metrics.include(notifier.counts.collectors())?;
        Ok(MirrorRole {
            mirror: Mirror { log: Arc::clone(&context.log), bench },
            alerts: Alerts { log: Arc::clone(&context.log), notifier: Arc::new(notifier) },
        })
    }
}

impl Part for MirrorRole {
    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        let MirrorRole { mirror, alerts } = *self;
        supervisor.spawn(Role::Mirror.name(), move |context| mirror.clone().run(context));
        supervisor.spawn("alerts", move |context| alerts.clone().run(context));
    }
}
