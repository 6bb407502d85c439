//! What a hub is made of, and who works on what.

use std::{sync::Arc, time::Duration};

use axum::Router;
use pipeline::{
    event::Tenant,
    flow,
    ports::{Clock, Log},
    retry::Policy,
    settings::{DeduplicateSettings, GovernSettings},
    worker::Progress,
};
use tokio::{sync::watch, task::JoinSet};

use super::Notice;
use crate::{roles::Role, workers::Workers};
use alerts::{AlertNotifier, Alerts};
use api::{self, Desk, Services, tools};
use connections::{self, Connections, bot_identity::BotIdentity};
use gateway::{self, Counts, Gateway};
use ingest::Ingest;
use log::{Opened, embedded::JournalMetrics};
use lookups::{self, Lookups};
use memory::{self, Memory, Recall};
use mirror::{self, Mirror};
use providers::{
    client::Ledger,
    credentials::{Links, with_default_token},
};
use runtime::{
    auth::{Authenticate, Gate, Origins, Tokens, for_pages},
    clock::SystemClock,
    config::Config,
    directory::Directory,
    epoch,
    keys::Keys,
    kill_switch::{Gauges, KillSwitch, follow::Follower},
    sealing::Seal,
    sql::{Engine, MakeEngine},
    supervisor::{Board, Failure, RoleContext, Status, supervise},
    telemetry::{
        metrics::Metrics,
        traces::{self, Exporter},
    },
};
use store::{
    Store,
    announce::{Announcer, HouseRule},
    audit::AuditProjector,
    project::Projector,
};

/// How long a start waits for what waits to be announced.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the roles of one process share.
pub(super) struct Parts {
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub board: Arc<Board>,
    pub progress: Arc<Progress>,
    pub seal: Arc<Seal>,
    pub directory: Arc<Directory>,
    pub kill_switch: Arc<KillSwitch>,
    pub exporter: Option<Arc<Exporter>>,
    pub store: Option<Arc<Store>>,
    pub recall: Option<Arc<Recall>>,
    pub ingest: Option<Arc<Ingest>>,
    pub gateway: Option<Arc<Gateway>>,
    pub gate: Arc<Gate>,
    pub desk: Option<Arc<Desk>>,
    /// Answers in SQL, and fills the lake, if this was built with it.
    pub engine: Option<Arc<dyn Engine>>,
    /// What the tokens have spent, whichever role spends it.
    pub ledger: Ledger,
}

impl Parts {
    /// Makes what these roles need, and nothing else.
    pub async fn make(
        config: &Config,
        roles: &[Role],
        opened: Opened,
        notice: &Notice,
        engine: Option<MakeEngine>,
    ) -> Result<Parts, Failure> {
        let has = |role| roles.contains(&role);
        let Opened { log, journal } = opened;
        let traces = traces::open(&config.traces, &config.langfuse)?;
        let log = traces::tapped(log, traces.as_ref().map(|(tracer, _)| tracer));
        let epoch = match &journal {
            Some(journal) => epoch::of_journal(config, journal.epoch())?,
            None => epoch::FIRST,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Metrics::new()?;
        if let Some(journal) = journal {
            metrics.include(vec![Box::new(JournalMetrics::new(journal)?)])?;
        }
        let exporter = traces.map(|(_, exporter)| Arc::new(exporter));
        if let Some(exporter) = &exporter {
            metrics.include(exporter.counts().collectors())?;
        }
        let Keys { jwt_secret, seal } = Keys::load(config)?;
        let (seal, directory) = (Arc::new(seal), Arc::new(Directory::default()));
        let kill_switch = KillSwitch::new();
        metrics.include(vec![Box::new(Gauges::new(Arc::clone(&kill_switch))?)])?;
        let tokens = Arc::new(Tokens::new(&jwt_secret, Arc::clone(&directory), Arc::clone(&clock)));
        let gate = Arc::new(gate(config, notice, &directory, &tokens));
        let store = match has(Role::Api) || has(Role::Memory) {
            true => Some(Arc::new(Store::open(config).await?)),
            false => None,
        };
        let recall = match &store {
            Some(store) => Some(Arc::new(Recall::open(config, Arc::clone(store), Arc::clone(&clock))?)),
            None => None,
        };
        let ingest = has(Role::Ingest).then(|| {
            let (log, clock, metrics) = (Arc::clone(&log), Arc::clone(&clock), Arc::clone(&metrics));
            Arc::new(Ingest::new(config, log, clock, metrics, Arc::clone(&directory), Arc::clone(&seal)))
        });
        let gateway = if has(Role::Gateway) {
            let counts = Arc::new(Counts::new()?);
            metrics.include(counts.collectors())?;
            Some(Gateway::new(gateway::Parts {
                log: Arc::clone(&log),
                directory: Arc::clone(&directory),
                tokens: Arc::clone(&tokens),
                clock: Arc::clone(&clock),
                counts,
                kill_switch: Arc::clone(&kill_switch),
                settings: gateway::Settings::of(&config.agents, epoch),
            }))
        } else {
            None
        };
        let ledger = Ledger::default();
        let connections = match &store {
            Some(store) => {
                let parts = connections::Parts {
                    log: Arc::clone(&log),
                    clock: Arc::clone(&clock),
                    store: Arc::clone(store),
                    directory: Arc::clone(&directory),
                    seal: Arc::clone(&seal),
                    ledger: ledger.clone(),
                    kill_switch: Arc::clone(&kill_switch),
                };
                let connections = Arc::new(Connections::new(config, parts)?);
                metrics.include(connections.counts.collectors())?;
                Some(connections)
            }
            None => None,
        };
        let engine = match engine.filter(|_| has(Role::Api) || has(Role::Lake)) {
            Some(make) => Some(make(config, Arc::clone(&log))?),
            None => None,
        };
        let desk = store.as_ref().zip(recall.as_ref()).zip(connections).map(|((store, recall), connections)| {
            let parts = api::Parts {
                connections,
                log: Arc::clone(&log),
                clock: Arc::clone(&clock),
                store: Arc::clone(store),
                recall: Arc::clone(recall),
                directory: Arc::clone(&directory),
                tokens: Arc::clone(&tokens),
                gate: Arc::clone(&gate),
                seal: Arc::clone(&seal),
                engine: engine.clone(),
                kill_switch: Arc::clone(&kill_switch),
                online: gateway.as_ref().map(|gateway| gateway.online()),
            };
            Arc::new(Desk::new(config, parts))
        });
        let (board, progress) = (Arc::default(), Arc::default());
        Ok(Parts {
            log,
            clock,
            metrics,
            board,
            progress,
            seal,
            directory,
            kill_switch,
            exporter,
            store,
            recall,
            ingest,
            gateway,
            gate,
            desk,
            engine,
            ledger,
        })
    }

    fn announcer(&self, config: &Config) -> Option<Announcer> {
        self.desk.as_ref()?;
        let store = Arc::clone(self.store.as_ref()?);
        let providers = with_default_token(&config.providers).into_iter().map(str::to_owned).collect();
        Some(Announcer { store, log: Arc::clone(&self.log), house: Some(HouseRule::of(config, providers)) })
    }

    /// What was written into the store while no hub ran is known before the
    /// first request comes. A log that cannot take it now gets it later.
    pub async fn announce_what_waits(&self, config: &Config) {
        let Some(announcer) = self.announcer(config) else { return };
        let error = match tokio::time::timeout(ANNOUNCE_TIMEOUT, announcer.catch_up()).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the log takes too long".to_owned(),
        };
        tracing::warn!(%error, "the store's changes are announced later");
    }

    /// Puts everybody to work.
    pub fn man(&self, crew: &mut Crew, config: &Config, roles: &[Role]) -> Result<(), Failure> {
        let (directory, log) = (Arc::clone(&self.directory), Arc::clone(&self.log));
        crew.man("directory", move |context| follow(Arc::clone(&directory), Arc::clone(&log), context));
        let follower = Follower {
            kill_switch: Arc::clone(&self.kill_switch),
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        };
        crew.man("kill_switch", move |context| follower.clone().run(context));
        if let Some(exporter) = self.exporter.clone() {
            crew.man("traces", move |context| Arc::clone(&exporter).run(context));
        }
        if let (Some(announcer), Some(store)) = (self.announcer(config), &self.store) {
            crew.man("announcer", move |context| announcer.clone().run(context));
            let projector = Projector { store: Arc::clone(store), log: Arc::clone(&self.log) };
            crew.man("projector", move |context| projector.clone().run(context));
            let links = Links::new(config, Arc::clone(&self.directory), Arc::clone(&self.seal));
            let (directory, clock) = (Arc::clone(&self.directory), Arc::clone(&self.clock));
            let own_ids =
                Arc::new(BotIdentity::new(config, Arc::clone(store), directory, links, clock, self.guards())?);
            crew.man("own_ids", move |context| Arc::clone(&own_ids).run(context));
            let prices = Arc::new(config.usage.prices.clone());
            let trail = AuditProjector { store: Arc::clone(store), log: Arc::clone(&self.log), prices };
            crew.man("trail", move |context| trail.clone().run(context));
        }
        roles.iter().try_for_each(|role| self.man_role(crew, config, *role))
    }

    /// What everybody asks who calls providers.
    fn guards(&self) -> (Ledger, Arc<KillSwitch>) {
        (self.ledger.clone(), Arc::clone(&self.kill_switch))
    }

    fn man_role(&self, crew: &mut Crew, config: &Config, role: Role) -> Result<(), Failure> {
        match role {
            Role::Pipeline => {
                let workers = Workers {
                    log: Arc::clone(&self.log),
                    clock: Arc::clone(&self.clock),
                    settings: settings(config),
                    progress: Arc::clone(&self.progress),
                };
                crew.man(role.name(), move |context| workers.clone().run(context));
            }
            Role::Lookups => {
                let links = Links::new(config, Arc::clone(&self.directory), Arc::clone(&self.seal));
                let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
                let desk = lookups::Desk::new(config, links, clock, metrics, self.guards())?;
                let (log, directory) = (Arc::clone(&self.log), Arc::clone(&self.directory));
                let lookups = Lookups { log, directory, desk: Arc::new(desk) };
                crew.man(role.name(), move |context| lookups.clone().run(context));
            }
            Role::Mirror => {
                let links = Links::new(config, Arc::clone(&self.directory), Arc::clone(&self.seal));
                let (directory, clock) = (Arc::clone(&self.directory), Arc::clone(&self.clock));
                let bench = Arc::new(mirror::Bench::new(config, links, directory, clock, self.guards())?);
                self.metrics.include(bench.counts.collectors())?;
                let mirror = Mirror { log: Arc::clone(&self.log), bench };
                crew.man(role.name(), move |context| mirror.clone().run(context));
                let (directory, seal) = (Arc::clone(&self.directory), Arc::clone(&self.seal));
                let notifier = AlertNotifier::new(config, directory, seal, Arc::clone(&self.clock))?;
                self.metrics.include(notifier.counts.collectors())?;
                let alerts = Alerts { log: Arc::clone(&self.log), notifier: Arc::new(notifier) };
                crew.man("alerts", move |context| alerts.clone().run(context));
            }
            Role::Memory => {
                if let Some(recall) = &self.recall {
                    let policy = Policy { attempts_max: config.retries.attempts_max, ..Policy::default() };
                    let counts = memory::role::Counts::new()?;
                    self.metrics.include(counts.collectors())?;
                    let bench = memory::role::Bench { recall: Arc::clone(recall), policy, counts };
                    let memory = Memory { log: Arc::clone(&self.log), bench: Arc::new(bench) };
                    crew.man(role.name(), move |context| memory.clone().run(context));
                }
            }
            Role::Gateway => {
                if let Some(gateway) = self.gateway.clone() {
                    crew.man(role.name(), move |context| Arc::clone(&gateway).run(context));
                }
            }
            Role::Ingest => {
                if let Some(ingest) = self.ingest.clone() {
                    crew.man(role.name(), move |context| Arc::clone(&ingest).follow(context));
                }
            }
            Role::Lake => {
                if let Some(engine) = self.engine.clone() {
                    crew.man(role.name(), move |context| Arc::clone(&engine).fill(context));
                }
            }
            Role::Api => {
                if let Some(desk) = self.desk.clone() {
                    let tools = tools::worker::Worker { log: Arc::clone(&self.log), desk: Arc::clone(&desk) };
                    crew.man("tools", move |context| tools.clone().run(context));
                    let connections = Arc::clone(&desk.connections);
                    if let Some(engine) = desk.engine.clone() {
                        let desk = Arc::clone(&desk);
                        crew.man("sql", move |context| {
                            let clients: Arc<dyn Authenticate> = desk.clone();
                            Arc::clone(&engine).serve(clients, context)
                        });
                    }
                    crew.man(role.name(), move |context| Arc::clone(&desk).run(context));
                    crew.man("connections", move |context| Arc::clone(&connections).run(context));
                }
            }
        }
        Ok(())
    }

    /// What the address serves.
    pub fn router(&self, config: &Config) -> Router {
        let router = api::router(Arc::new(Services {
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            board: Arc::clone(&self.board),
            progress: Arc::clone(&self.progress),
            ingest: self.ingest.clone(),
            gate: Arc::clone(&self.gate),
            desk: self.desk.clone(),
            webhooks_health: config.server.webhooks_health,
        }));
        match &self.gateway {
            // A browser's client begins with polling, which is plain HTTP.
            Some(gateway) => {
                let origins = Arc::new(Origins::new(&config.server.cors_origins));
                router.merge(for_pages(gateway.router(), &origins))
            }
            None => router,
        }
    }
}

/// Those who work, each under its supervisor.
pub(super) struct Crew {
    pub tasks: JoinSet<()>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    stop: watch::Receiver<bool>,
}

impl Crew {
    /// Nobody yet.
    pub fn new(metrics: Arc<Metrics>, board: Arc<Board>, stop: watch::Receiver<bool>) -> Crew {
        Crew { tasks: JoinSet::new(), metrics, board, stop }
    }

    fn man<F>(&mut self, role: &'static str, run: impl Fn(RoleContext) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        // At once, so that nobody takes a part that has not begun for ready.
        self.board.set(role, Status::Starting);
        let context = RoleContext { role, board: Arc::clone(&self.board), stop: self.stop.clone() };
        let metrics = Arc::clone(&self.metrics);
        self.tasks.spawn(supervise(context, move |role| metrics.restarted(role), run));
    }
}

/// Lets in whoever has a token, and whoever may read the data directory.
fn gate(config: &Config, notice: &Notice, directory: &Arc<Directory>, tokens: &Arc<Tokens>) -> Gate {
    let (named, rows) = (config.clone(), Arc::clone(directory));
    let local_tenant = move || {
        let tenants = rows.everywhere::<Tenant>();
        let known = tenants.iter().map(|(tenant, ..)| &**tenant);
        named.tenant_by_default(known).unwrap_or_default().to_owned()
    };
    Gate::new(Arc::clone(tokens), notice.token.clone(), local_tenant)
}

/// Follows `control` until told to stop.
async fn follow(directory: Arc<Directory>, log: Arc<dyn Log>, context: RoleContext) -> Result<(), Failure> {
    let mut stop = context.stop.clone();
    tokio::select! {
        failed = directory.follow(log, move || context.running()) => Ok(failed?),
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

fn settings(config: &Config) -> flow::Settings {
    flow::Settings {
        deduplicate: DeduplicateSettings {
            window_ms: config.pipeline.deduplicate_hours.saturating_mul(3_600_000),
            events_max: config.pipeline.deduplicate_events_max,
        },
        govern: GovernSettings {
            limits: config.governance.0.clone(),
            silent_ms: config.agents.silent_ms,
            presence_ttl_ms: gateway::PRESENCE_TTL_MS,
            ..GovernSettings::default()
        },
        ..flow::Settings::default()
    }
}
