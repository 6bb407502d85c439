//! A running hub: one log, the roles that this process has, and one address.
//!
//! [`roles`] is THE list of what can run; each role is created of what the process
//! shares ([`context`]), offers its routes ([`endpoints`]) and spawns its tasks
//! under the supervisor.

mod context;
mod endpoints;
mod notice;
pub mod roles;
pub mod seeding;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use pipeline::ports::{Log, LogError};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

pub use self::notice::Notice;
use self::{context::Context, endpoints::Endpoints, roles::Role};

use runtime::{
    config::Config,
    http::server,
    identity::random_hex,
    sql::MakeEngine,
    supervisor::{Board, Failure, Status, Supervisor},
};
use store::Store;

/// After a stop: how long requests in progress may take. The rest of the ten
/// seconds that a service manager is promised is for the workers and the log.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// How often the log is asked whether it is lost.
const LOST_CHECK: Duration = Duration::from_millis(500);

/// A hub that runs.
pub struct Hub {
    address: SocketAddr,
    sql_address: Option<SocketAddr>,
    log: Arc<dyn Log>,
    store: Option<Arc<Store>>,
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    notice: Option<PathBuf>,
}

impl Hub {
    /// Opens the log, takes the address, and starts the roles; without SQL.
    pub async fn start(config: &Config, roles: &[Role]) -> Result<Hub, Failure> {
        Hub::start_with(config, roles, None).await
    }

    /// The same, with what makes an SQL engine, for who has the role `api`.
    pub async fn start_with(config: &Config, roles: &[Role], engine: Option<MakeEngine>) -> Result<Hub, Failure> {
        let opened = log::open_known(config).await?;
        let (host, port) = (config.server.host, config.server.port);
        let listener = TcpListener::bind((host, port))
            .await
            .map_err(|error| format!("cannot listen on {host}:{port}: {error}; is another hub running?"))?;
        let address = listener.local_addr()?;
        let notice = Notice { url: format!("http://{}", reachable(address)), token: random_hex() };
        let context = Context::new(config, opened, &notice, engine)?;
        // In the order of THE list: the API asks the gateway of its process who
        // is online.
        let roles: BTreeSet<Role> = roles.iter().copied().collect();
        let roles: Vec<Role> = roles.into_iter().collect();
        let (mut parts, mut endpoints) = (Vec::new(), Endpoints::default());
        for role in &roles {
            let part = role.create(&context).await?;
            part.serve(&mut endpoints);
            parts.push(part);
        }
        let (stop, stopped) = watch::channel(false);
        let (metrics, board) = (Arc::clone(&context.metrics), Arc::clone(&context.board));
        let mut supervisor = Supervisor::new(board, stopped.clone(), move |task| metrics.restarted(task));
        context.run(&mut supervisor, &roles);
        parts.into_iter().for_each(|part| part.run(&mut supervisor));
        let serving = server::Settings {
            connections_max: config.server.connections_max,
            head_timeout: Duration::from_millis(config.server.head_timeout_ms),
            drain_timeout: DRAIN_TIMEOUT,
        };
        let mut tasks = supervisor.into_tasks();
        tasks.spawn(server::serve(listener, endpoints.router(&context), serving, stopped));
        let notice = notice.write(&config.data_dir)?;
        let store = context.opened_store();
        let Context { log, board, .. } = context;
        Ok(Hub { address, sql_address: endpoints.sql, log, store, board, stop, tasks, notice: Some(notice) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for people on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }

    /// The tasks of this process, and how each is.
    pub fn tasks(&self) -> BTreeMap<&'static str, Status> {
        self.board.all()
    }

    /// Where it speaks the PostgreSQL wire protocol, if it does.
    pub fn sql_address(&self) -> Option<SocketAddr> {
        self.sql_address
    }

    /// Its log.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.log)
    }

    /// Waits until all roles are at work.
    pub async fn ready(&self) {
        while self.log.ready().is_err() || self.board.all().values().any(|status| *status != Status::Running) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the log says that it is lost for good; as a rule, for ever.
    pub async fn lost(&self) -> LogError {
        loop {
            match self.log.ready() {
                Err(error @ LogError::Lost { .. }) => return error,
                _ => tokio::time::sleep(LOST_CHECK).await,
            }
        }
    }

    /// Takes nothing new, finishes what is in hand, makes it durable.
    pub async fn stop(mut self) -> Result<(), Failure> {
        for role in self.board.all().into_keys() {
            self.board.set(role, Status::Stopping);
        }
        self.stop.send_replace(true);
        let stopping = async {
            while self.tasks.join_next().await.is_some() {}
            if let Some(store) = &self.store {
                store.close().await;
            }
            self.log.close().await
        };
        let stopped = tokio::time::timeout(STOP_TIMEOUT, stopping).await;
        if let Some(notice) = self.notice.take() {
            let _ = std::fs::remove_file(notice);
        }
        match stopped {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(format!("not everything was finished within {STOP_TIMEOUT:?}").into()),
        }
    }
}

/// Whoever listens everywhere can be reached here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}
