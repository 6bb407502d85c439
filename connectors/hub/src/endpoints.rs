//! What the roles of a process serve, at one address.
//!
//! In: what each role offers. Out: one router. Guaranteed: a route of a role that
//! is not here is not there (404); health and metrics always are.

use std::{net::SocketAddr, sync::Arc};

use api::{Desk, Services};
use axum::Router;
use gateway::Gateway;
use ingest::Ingest;
use runtime::auth::{Origins, for_pages};

use crate::context::Context;

/// See the module.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// Takes webhooks.
    pub ingest: Option<Arc<Ingest>>,
    /// Keeps the agents' sockets.
    pub gateway: Option<Arc<Gateway>>,
    /// Answers people and programs.
    pub desk: Option<Arc<Desk>>,
    /// The PostgreSQL wire protocol, at an address of its own.
    pub sql: Option<SocketAddr>,
}

impl Endpoints {
    /// The routes of all of them.
    pub fn router(&self, context: &Context) -> Router {
        let router = api::router(Arc::new(Services {
            log: Arc::clone(&context.log),
            clock: Arc::clone(&context.clock),
            metrics: Arc::clone(&context.metrics),
            board: Arc::clone(&context.board),
            progress: Arc::clone(&context.progress),
            ingest: self.ingest.clone(),
            gate: Arc::clone(&context.gate),
            desk: self.desk.clone(),
            webhooks_health: context.config.server.webhooks_health,
        }));
        match &self.gateway {
            // A browser's client begins with polling, which is plain HTTP.
            Some(gateway) => {
                let origins = Arc::new(Origins::new(&context.config.server.cors_origins));
                router.merge(for_pages(gateway.router(), &origins))
            }
            None => router,
        }
    }
}
