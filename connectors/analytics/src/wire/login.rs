//! Who connects: a client's id and secret, or any user and a token.

use std::{fmt::Debug, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ConnectionGuard, ConnectionHandle, METADATA_DATABASE, METADATA_USER, PgWireConnectionState,
        PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
        auth::{
            DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
            save_startup_parameters_to_metadata,
        },
    },
    error::{PgWireError, PgWireResult},
    messages::{PgWireBackendMessage, PgWireFrontendMessage, startup::Authentication},
};
use futures_util::{Sink, SinkExt};
use runtime::auth::{Access, Authenticate, Guess};

use super::{CONNECTIONS, Who, failure};
use crate::{catalog::CATALOG, table::Whose};

/// Lets one connection in.
pub struct Door {
    pub clients: Arc<dyn Authenticate>,
    /// Who it is, once it is known.
    pub who: Who,
    /// Whose rows its session sees from then on.
    pub whose: Whose,
    pub peer: SocketAddr,
}

impl Door {
    async fn prove(&self, user: &str, password: &str) -> PgWireResult<()> {
        let guess = Guess {
            client_id: user,
            secret: password,
            address: Some(self.peer.ip().to_canonical()),
            now_ms: self.clients.now_ms(),
        };
        let who = self.clients.authenticate(Access::ANALYSTS, guess).await.map_err(|problem| {
            let code = if problem.status().as_u16() == 403 { "42501" } else { "28P01" };
            failure("FATAL", code, problem.to_string())
        })?;
        if who.tenant_id.is_empty() {
            let advice = "this hub has no tenant to ask for; make one with `nexus seed`";
            return Err(failure("FATAL", "3D000", advice.to_owned()));
        }
        self.whose.set(&who.tenant_id);
        let _ = self.who.set(who);
        Ok(())
    }
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                let database = client.metadata().get(METADATA_DATABASE);
                if let Some(other) = database.filter(|database| *database != CATALOG) {
                    let detail = format!("there is no database \"{other}\"; the database is \"{CATALOG}\"");
                    return Err(failure("FATAL", "3D000", detail));
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(given) => {
                let given = given.into_password()?;
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                self.prove(&user, &given.password).await?;
                let (pid, secret) = RandomPidSecretKeyGenerator::default().generate(client);
                client.set_pid_and_secret_key(pid, secret.clone());
                let (handle, guard) = CONNECTIONS.register(pid, secret);
                client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
                client.session_extensions().insert::<ConnectionGuard>(guard);
                let mut parameters = DefaultServerParameterProvider::default();
                parameters.is_superuser = false;
                parameters.default_transaction_read_only = true;
                finish_authentication(client, &parameters).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
