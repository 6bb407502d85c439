//! The role `ingest`: takes webhooks and writes them down.
//!
//! Serves `/webhooks/*` and `/api/webhooks/*`.

use std::sync::Arc;

use ingest::Ingest;
use runtime::supervisor::Supervisor;

use super::{Part, Role};
use crate::{context::Context, endpoints::Endpoints};

/// See the module.
pub(super) struct IngestRole(Arc<Ingest>);

impl IngestRole {
    /// For the configuration's connections and the directory's.
    pub fn create(context: &Context) -> IngestRole {
        IngestRole(Arc::new(Ingest::new(
            &context.config,
            Arc::clone(&context.log),
            Arc::clone(&context.clock),
            Arc::clone(&context.metrics),
            Arc::clone(&context.directory),
            Arc::clone(&context.seal),
        )))
    }
}

impl Part for IngestRole {
    fn serve(&self, endpoints: &mut Endpoints) {
        endpoints.ingest = Some(Arc::clone(&self.0));
    }

    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        supervisor.spawn(Role::Ingest.name(), move |context| Arc::clone(&self.0).follow(context));
    }
}
