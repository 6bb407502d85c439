//! The role `api`: answers people and programs, and looks after what they wrote.
//!
//! Serves `/api/*`, `/auth/*`, `/mcp` and, with the feature `sql`, the PostgreSQL
//! wire protocol. Beside it run the projection of the pipeline's state and of the
//! audit into tables, the announcer of what the store's transactions left in the
//! outbox, the tools that agents ask for, and the upkeep of connections.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{Desk, Parts, tools::worker::Worker};
use connections::{Connections, bot_identity::BotIdentity};
use providers::credentials::with_default_token;
use runtime::{
    auth::Authenticate,
    config::Prices,
    supervisor::{Failure, Supervisor},
};
use store::{
    announce::{Announcer, HouseRule},
    audit::AuditProjector,
    project::Projector,
};

use super::{Part, Role};
use crate::{context::Context, endpoints::Endpoints};

/// How long a start waits for what waits to be announced.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct ApiRole {
    desk: Arc<Desk>,
    announcer: Announcer,
    own_ids: Arc<BotIdentity>,
    prices: Arc<Prices>,
    sql: Option<SocketAddr>,
}

impl ApiRole {
    /// Over the store, with what waits in its outbox announced.
    pub async fn create(context: &Context) -> Result<ApiRole, Failure> {
        let (config, store) = (&context.config, context.store().await?);
        let connections = Connections::new(
            config,
            connections::Parts {
                log: Arc::clone(&context.log),
                clock: Arc::clone(&context.clock),
                store: Arc::clone(&store),
                directory: Arc::clone(&context.directory),
                seal: Arc::clone(&context.seal),
                ledger: context.ledger.clone(),
                kill_switch: Arc::clone(&context.kill_switch),
            },
        )?;
        context.metrics.include(connections.counts.collectors())?;
        let own_ids = BotIdentity::new(
            config,
            Arc::clone(&store),
            Arc::clone(&context.directory),
            context.links(),
            Arc::clone(&context.clock),
            context.guards(),
        )?;
        let engine = context.engine().await?;
        let desk = Desk::new(
            config,
            Parts {
                connections: Arc::new(connections),
                log: Arc::clone(&context.log),
                clock: Arc::clone(&context.clock),
                store: Arc::clone(&store),
                recall: context.recall().await?,
                directory: Arc::clone(&context.directory),
                tokens: Arc::clone(&context.tokens),
                gate: Arc::clone(&context.gate),
                seal: Arc::clone(&context.seal),
                engine: engine.clone(),
                kill_switch: Arc::clone(&context.kill_switch),
                online: context.online.get().cloned(),
            },
        );
        let sql = match engine {
            Some(engine) => Some(engine.listen().await?),
            None => None,
        };
        let providers = with_default_token(&config.providers).into_iter().map(str::to_owned).collect();
        let house = Some(HouseRule::of(config, providers));
        let announcer = Announcer { store, log: Arc::clone(&context.log), house };
        announce_what_waits(&announcer).await;
        let prices = Arc::new(config.usage.prices.clone());
        Ok(ApiRole { desk: Arc::new(desk), announcer, own_ids: Arc::new(own_ids), prices, sql })
    }
}

impl Part for ApiRole {
    fn serve(&self, endpoints: &mut Endpoints) {
        endpoints.desk = Some(Arc::clone(&self.desk));
        endpoints.sql = self.sql;
    }

    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        let ApiRole { desk, announcer, own_ids, prices, .. } = *self;
        let (store, log) = (Arc::clone(&desk.store), Arc::clone(&desk.log));
        let trail = AuditProjector { store: Arc::clone(&store), log: Arc::clone(&log), prices };
        let projector = Projector { store, log: Arc::clone(&log) };
        let tools = Worker { log, desk: Arc::clone(&desk) };
        let connections = Arc::clone(&desk.connections);
        supervisor.spawn("announcer", move |context| announcer.clone().run(context));
        supervisor.spawn("projector", move |context| projector.clone().run(context));
        supervisor.spawn("trail", move |context| trail.clone().run(context));
        supervisor.spawn("own_ids", move |context| Arc::clone(&own_ids).run(context));
        supervisor.spawn("connections", move |context| Arc::clone(&connections).run(context));
        supervisor.spawn("tools", move |context| tools.clone().run(context));
        if let Some(engine) = desk.engine.clone() {
            let desk = Arc::clone(&desk);
            supervisor.spawn("sql", move |context| {
                let clients: Arc<dyn Authenticate> = desk.clone();
                Arc::clone(&engine).serve(clients, context)
            });
        }
        supervisor.spawn(Role::Api.name(), move |context| Arc::clone(&desk).run(context));
    }
}

/// What was written into the store while no hub ran is known before the first
/// request comes. A log that cannot take it now gets it later.
async fn announce_what_waits(announcer: &Announcer) {
    let error = match tokio::time::timeout(ANNOUNCE_TIMEOUT, announcer.catch_up()).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the log takes too long".to_owned(),
    };
    tracing::warn!(%error, "the store's changes are announced later");
}
