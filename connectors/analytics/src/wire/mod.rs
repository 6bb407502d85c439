//! The PostgreSQL wire protocol: psql, drivers and BI tools, each connection
//! with a session of its own. Until its client has proven itself the session
//! sees nothing.
//!
//! `datafusion-postgres` speaks the protocol and knows the catalogs' tables that
//! tools ask for; what is let in ([`login`]), what may be asked ([`guard`]) and
//! how much ([`bounds`]) is decided here.

mod bounds;
mod guard;
mod login;

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use async_trait::async_trait;
use datafusion::{error::DataFusionError, prelude::SessionContext};
use datafusion_postgres::{
    DfSessionService, Parser,
    datafusion_pg_catalog::pg_catalog::{context::EmptyContextProvider, setup_pg_catalog},
    pgwire::{
        api::{
            ClientInfo, ClientPortalStore, ConnectionManager, ErrorHandler, PgWireServerHandlers,
            auth::StartupHandler,
            cancel::{CancelHandler, DefaultCancelHandler},
            portal::Portal,
            query::{ExtendedQueryHandler, SimpleQueryHandler},
            results::Response,
            store::PortalStore,
        },
        error::{ErrorInfo, PgWireError, PgWireResult},
        messages::PgWireBackendMessage,
        tokio::process_socket,
    },
};
use futures_util::Sink;
use runtime::{
    auth::{Authenticate, Principal},
    sql::Refused,
};
use tokio::{net::TcpStream, sync::watch};

use self::{bounds::Bounds, guard::Guard, login::Door};
use crate::{catalog, engine::Analysts, functions, limits::Limits, table::Whose};

/// Who can be told to stop what they run, all connections of the process
/// together: the wish comes through another connection.
static CONNECTIONS: LazyLock<Arc<ConnectionManager>> = LazyLock::new(|| Arc::new(ConnectionManager::new()));

/// Who is at the other end, once that is known.
type Who = Arc<OnceLock<Principal>>;

/// Serves one connection until it ends or the hub stops.
pub async fn serve(
    engine: Arc<Analysts>,
    clients: Arc<dyn Authenticate>,
    socket: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) {
    let connection = match Connection::new(&engine, clients, peer) {
        Ok(connection) => connection,
        Err(error) => {
            tracing::error!(%error, "an SQL connection was not served");
            return;
        }
    };
    drop(engine);
    let _ = socket.set_nodelay(true);
    tokio::select! {
        ended = process_socket(socket, None, connection) => {
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "an SQL connection broke off");
            }
        }
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// What serves one connection.
struct Connection {
    door: Arc<Door>,
    service: Arc<Service>,
    cancel: Arc<DefaultCancelHandler>,
    limits: Limits,
}

impl Connection {
    fn new(engine: &Analysts, clients: Arc<dyn Authenticate>, peer: SocketAddr) -> Result<Connection, DataFusionError> {
        let (whose, who) = (Whose::default(), Who::default());
        let session = catalog::session(&engine.source, &whose, &engine.limits)?;
        setup_pg_catalog(&session, catalog::CATALOG, EmptyContextProvider).map_err(|error| *error)?;
        // It brings functions of its own, some of them once more.
        functions::take_away(&mut session.state_ref().write())?;
        let session = Arc::new(session);
        let guard = Guard { clients: Arc::clone(&clients), who: Arc::clone(&who) };
        let service = Service {
            inner: of_session(session, guard),
            bounds: Bounds { limits: engine.limits, running: Arc::clone(&engine.running) },
        };
        Ok(Connection {
            door: Arc::new(Door { clients, who, whose, peer }),
            service: Arc::new(service),
            cancel: Arc::new(DefaultCancelHandler::new(Arc::clone(&CONNECTIONS))),
            limits: engine.limits,
        })
    }
}

fn of_session(session: Arc<SessionContext>, guard: Guard) -> DfSessionService {
    DfSessionService::new_with_hooks(session, vec![Arc::new(guard)])
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.service)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.service)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.door)
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(Errors { limits: self.limits })
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::clone(&self.cancel)
    }
}

/// Runs statements, within bounds.
struct Service {
    inner: DfSessionService,
    bounds: Bounds,
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let turn = self.bounds.turn(query)?;
        let inner = <DfSessionService as SimpleQueryHandler>::do_query(&self.inner, client, query);
        let responses = turn.within(inner).await?;
        Ok(responses.into_iter().map(|response| turn.bound(response)).collect())
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = <DfSessionService as ExtendedQueryHandler>::Statement;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        self.inner.query_parser()
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let turn = self.bounds.turn(&portal.statement.statement.0)?;
        let inner = <DfSessionService as ExtendedQueryHandler>::do_query(&self.inner, client, portal, max_rows);
        Ok(turn.bound(turn.within(inner).await?))
    }
}

/// Says errors as PostgreSQL's clients know them.
struct Errors {
    limits: Limits,
}

impl ErrorHandler for Errors {
    fn on_error<C>(&self, _client: &C, error: &mut PgWireError)
    where
        C: ClientInfo,
    {
        if let PgWireError::ApiError(cause) = error
            && let Some(cause) = cause.downcast_ref::<DataFusionError>()
        {
            *error = refusal(&self.limits.refusal(cause));
        }
    }
}

/// A refusal, with its SQLSTATE.
fn refusal(refused: &Refused) -> PgWireError {
    let code = match refused {
        Refused::Invalid(_) => "42000",
        Refused::Forbidden(_) => "42501",
        Refused::Rows { .. } | Refused::Bytes { .. } => "54000",
        Refused::Slow { .. } => "57014",
        Refused::Memory { .. } => "53200",
        Refused::Busy => "53300",
        Refused::Failed(_) => "58000",
    };
    failure("ERROR", code, refused.to_string())
}

fn failure(severity: &str, code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(severity.to_owned(), code.to_owned(), message)))
}
