//! A running hub: the log, the store, the roles that this process has, and one address.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use pipeline::{
    event::Tenant,
    flow,
    operators::deduplicate::Deduplicate,
    ports::{Clock, Log, LogError},
    worker::Progress,
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    agents::{self, Counts, Gateway},
    api::{self, Desk, Services},
    auth::{Gate, Tokens},
    clock::SystemClock,
    config::Config,
    directory::Directory,
    epoch,
    http::server,
    identity::random_hex,
    ingest::Ingest,
    keys::Keys,
    log::{self, Opened},
    lookups::{self, Links, Lookups},
    roles::Role,
    store::{Store, announce::Announcer, project::Projector},
    supervisor::{Board, Failure, Post, Status, supervise},
    telemetry::metrics::Metrics,
    workers::Workers,
};

/// After a stop: how long requests in progress may take. The rest of the ten
/// seconds that a service manager is promised is for the workers and the log.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// How often the log is asked whether it is lost.
const LOST_CHECK: Duration = Duration::from_millis(500);

/// A hub that runs.
pub struct Hub {
    address: SocketAddr,
    log: Arc<dyn Log>,
    store: Option<Arc<Store>>,
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    notice: Option<PathBuf>,
}

/// How the commands of whoever may read the data directory find the hub.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Where it listens.
    pub url: String,
    /// What lets them in. A new one at every start.
    pub token: String,
}

impl Notice {
    /// The notice in a data directory. A hub that died leaves its notice
    /// behind: whoever reads it must be prepared that nobody answers.
    pub fn read(data_dir: &Path) -> Option<Notice> {
        serde_json::from_slice(&std::fs::read(data_dir.join("hub.json")).ok()?).ok()
    }
}

impl Hub {
    /// Opens the log, takes the address, and starts the roles.
    pub async fn start(config: &Config, roles: &[Role]) -> Result<Hub, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Metrics::new()?;
        let Opened { log, journal } = log::open_known(config).await?;
        let epoch = match &journal {
            Some(journal) => epoch::of_journal(config, journal.epoch())?,
            None => epoch::FIRST,
        };
        if let Some(journal) = journal {
            metrics.watch(journal)?;
        }
        let listener = TcpListener::bind((config.server.host, config.server.port)).await.map_err(|error| {
            format!("cannot listen on {}:{}: {error}; is another hub running?", config.server.host, config.server.port)
        })?;
        let address = listener.local_addr()?;
        let board = Arc::new(Board::default());
        let progress = Arc::new(Progress::default());
        let Keys { jwt_secret, seal } = Keys::load(config)?;
        let (seal, directory) = (Arc::new(seal), Arc::new(Directory::default()));
        let tokens = Arc::new(Tokens::new(&jwt_secret, Arc::clone(&directory), Arc::clone(&clock)));
        let store = match roles.contains(&Role::Api) {
            true => Some(Arc::new(Store::open(config).await?)),
            false => None,
        };
        let ingest = roles.contains(&Role::Ingest).then(|| {
            let (log, clock, metrics) = (Arc::clone(&log), Arc::clone(&clock), Arc::clone(&metrics));
            Arc::new(Ingest::new(config, log, clock, metrics, Arc::clone(&directory), Arc::clone(&seal)))
        });
        let gateway = match roles.contains(&Role::Gateway) {
            true => {
                let counts = Arc::new(Counts::new()?);
                metrics.include(counts.collectors())?;
                Some(Gateway::new(agents::Parts {
                    log: Arc::clone(&log),
                    directory: Arc::clone(&directory),
                    tokens: Arc::clone(&tokens),
                    clock: Arc::clone(&clock),
                    counts,
                    settings: config.agents.settings(epoch),
                }))
            }
            false => None,
        };
        let notice = Notice { url: format!("http://{}", reachable(address)), token: random_hex() };
        let (named, rows) = (config.clone(), Arc::clone(&directory));
        let local_tenant = move || {
            let tenants = rows.everywhere::<Tenant>();
            let known = tenants.iter().map(|(tenant, ..)| &**tenant);
            named.tenant_by_default(known).unwrap_or_default().to_owned()
        };
        let gate = Arc::new(Gate::new(Arc::clone(&tokens), notice.token.clone(), local_tenant));
        let desk = store.as_ref().map(|store| {
            let parts = api::Parts {
                log: Arc::clone(&log),
                clock: Arc::clone(&clock),
                store: Arc::clone(store),
                directory: Arc::clone(&directory),
                tokens: Arc::clone(&tokens),
                gate: Arc::clone(&gate),
                seal: Arc::clone(&seal),
                online: gateway.as_ref().map(|gateway| gateway.online()),
            };
            Arc::new(Desk::new(config, parts))
        });
        let services = Arc::new(Services {
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            board: Arc::clone(&board),
            progress: Arc::clone(&progress),
            ingest: ingest.clone(),
            gate,
            desk: desk.clone(),
            webhooks_health: config.server.webhooks_health,
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let post = |role| {
            // At once, so that nobody takes a part that has not begun for ready.
            board.set(role, Status::Starting);
            Post { role, board: Arc::clone(&board), stop: stopped.clone() }
        };
        let follower = (Arc::clone(&directory), Arc::clone(&log));
        tasks.spawn(supervise(post("directory"), Arc::clone(&metrics), move |post| {
            let (directory, log) = follower.clone();
            async move { follow(directory, log, post).await }
        }));
        if let Some(store) = &store {
            let announcer = Announcer { store: Arc::clone(store), log: Arc::clone(&log) };
            let run = move |post| announcer.clone().run(post);
            tasks.spawn(supervise(post("announcer"), Arc::clone(&metrics), run));
            let projector = Projector { store: Arc::clone(store), log: Arc::clone(&log) };
            let run = move |post| projector.clone().run(post);
            tasks.spawn(supervise(post("projector"), Arc::clone(&metrics), run));
        }
        for role in roles {
            let post = post(role.name());
            match role {
                Role::Pipeline => {
                    let workers = Workers {
                        log: Arc::clone(&log),
                        clock: Arc::clone(&clock),
                        settings: settings(config),
                        progress: Arc::clone(&progress),
                    };
                    tasks.spawn(supervise(post, Arc::clone(&metrics), move |post| workers.clone().run(post)));
                }
                Role::Gateway => {
                    let Some(gateway) = gateway.clone() else { continue };
                    let run = move |post| Arc::clone(&gateway).run(post);
                    tasks.spawn(supervise(post, Arc::clone(&metrics), run));
                }
                Role::Lookups => {
                    let links = Links::new(config, Arc::clone(&directory), Arc::clone(&seal));
                    let desk = lookups::Desk::new(config, links, Arc::clone(&clock), Arc::clone(&metrics))?;
                    let (log, directory) = (Arc::clone(&log), Arc::clone(&directory));
                    let lookups = Lookups { log, directory, desk: Arc::new(desk) };
                    tasks.spawn(supervise(post, Arc::clone(&metrics), move |post| lookups.clone().run(post)));
                }
                Role::Ingest => {
                    let Some(ingest) = ingest.clone() else { continue };
                    let run = move |post| Arc::clone(&ingest).follow(post);
                    tasks.spawn(supervise(post, Arc::clone(&metrics), run));
                }
                Role::Api => {
                    let Some(desk) = desk.clone() else { continue };
                    tasks.spawn(supervise(post, Arc::clone(&metrics), move |post| Arc::clone(&desk).run(post)));
                }
            }
        }
        let serving = server::Settings {
            connections_max: config.server.connections_max,
            head_timeout: Duration::from_millis(config.server.head_timeout_ms),
            drain_timeout: DRAIN_TIMEOUT,
        };
        let router = api::router(services);
        let router = match &gateway {
            Some(gateway) => router.merge(gateway.router()),
            None => router,
        };
        tasks.spawn(server::serve(listener, router, serving, stopped));
        let notice = write_notice(&config.data_dir, &notice)?;
        Ok(Hub { address, log, store, board, stop, tasks, notice: Some(notice) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for people on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
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

/// Follows `control` until told to stop.
async fn follow(directory: Arc<Directory>, log: Arc<dyn Log>, post: Post) -> Result<(), Failure> {
    let mut stop = post.stop.clone();
    tokio::select! {
        failed = directory.follow(log, move || post.running()) => Ok(failed?),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

fn settings(config: &Config) -> flow::Settings {
    flow::Settings {
        deduplicate: Deduplicate {
            window_ms: config.pipeline.deduplicate_hours.saturating_mul(3_600_000),
            events_max: config.pipeline.deduplicate_events_max,
        },
        ..flow::Settings::default()
    }
}

/// Whoever listens everywhere can be reached here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Readable by its owner alone: it holds a token.
fn write_notice(data_dir: &Path, notice: &Notice) -> Result<PathBuf, Failure> {
    use std::{
        io::Write,
        os::unix::fs::{OpenOptionsExt, PermissionsExt},
    };
    std::fs::create_dir_all(data_dir)?;
    let path = data_dir.join("hub.json");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(&serde_json::to_vec(notice)?)?;
    Ok(path)
}
