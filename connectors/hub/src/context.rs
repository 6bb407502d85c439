//! What the roles of one process share.
//!
//! In: the configuration, the opened log. Out: what every role may use. Cheap
//! parts are there from the beginning; the expensive ones (the store, the memory,
//! the SQL engine) are made when the first role asks for them, once.

use std::sync::{Arc, OnceLock};

use gateway::Online;
use log::{Opened, embedded::JournalMetrics};
use memory::Recall;
use pipeline::{
    event::Tenant,
    ports::{Clock, Log},
    worker::Progress,
};
use providers::{client::Ledger, credentials::Links};
use runtime::{
    auth::{Gate, Tokens},
    clock::SystemClock,
    config::Config,
    directory::Directory,
    epoch,
    keys::Keys,
    kill_switch::{Gauges, KillSwitch, follow::Follower},
    sealing::Seal,
    sql::{Engine, MakeEngine},
    supervisor::{Board, Failure, RoleContext, Supervisor},
    telemetry::{
        metrics::Metrics,
        traces::{self, Exporter},
    },
};
use store::Store;
use tokio::sync::OnceCell;

use crate::{Notice, roles::Role};

/// See the module.
pub(crate) struct Context {
    pub config: Config,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// How every task is.
    pub board: Arc<Board>,
    /// What the workers have done.
    pub progress: Arc<Progress>,
    pub seal: Arc<Seal>,
    pub directory: Arc<Directory>,
    pub kill_switch: Arc<KillSwitch>,
    pub tokens: Arc<Tokens>,
    pub gate: Arc<Gate>,
    /// What the providers' tokens have spent, whichever role spends it.
    pub ledger: Ledger,
    /// How often the log was opened after an unclean stop.
    pub epoch: u64,
    /// Who is connected, where a gateway of this process follows that.
    pub online: OnceLock<Arc<Online>>,
    exporter: Option<Arc<Exporter>>,
    make_engine: Option<MakeEngine>,
    engine: OnceCell<Option<Arc<dyn Engine>>>,
    store: OnceCell<Arc<Store>>,
    recall: OnceCell<Arc<Recall>>,
}

impl Context {
    /// Of an opened log. Whoever has the token of `notice` is let in.
    pub fn new(
        config: &Config,
        opened: Opened,
        notice: &Notice,
        make_engine: Option<MakeEngine>,
    ) -> Result<Context, Failure> {
        let Opened { log, journal } = opened;
        let traces = traces::open(&config.traces, &config.langfuse)?;
        let log = traces::tapped(log, traces.as_ref().map(|(tracer, _)| tracer));
        let epoch = match &journal {
            Some(journal) => epoch::of_journal(config, journal.epoch())?,
            None => epoch::FIRST,
        };
        let metrics = Metrics::new()?;
        if let Some(journal) = journal {
            metrics.include(vec![Box::new(JournalMetrics::new(journal)?)])?;
        }
        let exporter = traces.map(|(_, exporter)| Arc::new(exporter));
        if let Some(exporter) = &exporter {
            metrics.include(exporter.counts().collectors())?;
        }
        let kill_switch = KillSwitch::new();
        metrics.include(vec![Box::new(Gauges::new(Arc::clone(&kill_switch))?)])?;
        let Keys { jwt_secret, seal } = Keys::load(config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let directory = Arc::new(Directory::default());
        let tokens = Arc::new(Tokens::new(&jwt_secret, Arc::clone(&directory), Arc::clone(&clock)));
        let gate = Arc::new(gate(config, notice, &directory, &tokens));
        Ok(Context {
            config: config.clone(),
            log,
            clock,
            metrics,
            board: Arc::default(),
            progress: Arc::default(),
            seal: Arc::new(seal),
            directory,
            kill_switch,
            tokens,
            gate,
            ledger: Ledger::default(),
            epoch,
            online: OnceLock::new(),
            exporter,
            make_engine,
            engine: OnceCell::new(),
            store: OnceCell::new(),
            recall: OnceCell::new(),
        })
    }

    /// The database.
    pub async fn store(&self) -> Result<Arc<Store>, Failure> {
        let open = async || Ok::<_, Failure>(Arc::new(Store::open(&self.config).await?));
        self.store.get_or_try_init(open).await.map(Arc::clone)
    }

    /// The database, if a role has opened it.
    pub fn opened_store(&self) -> Option<Arc<Store>> {
        self.store.get().cloned()
    }

    /// What is remembered, over that database.
    pub async fn recall(&self) -> Result<Arc<Recall>, Failure> {
        let open = async || {
            let recall = Recall::open(&self.config, self.store().await?, Arc::clone(&self.clock))?;
            Ok::<_, Failure>(Arc::new(recall))
        };
        self.recall.get_or_try_init(open).await.map(Arc::clone)
    }

    /// What answers in SQL and fills the lake, if this was built with it.
    pub async fn engine(&self) -> Result<Option<Arc<dyn Engine>>, Failure> {
        let open = async || self.make_engine.map(|make| make(&self.config, Arc::clone(&self.log))).transpose();
        self.engine.get_or_try_init(open).await.cloned()
    }

    /// The providers' tokens.
    pub fn links(&self) -> Links {
        Links::new(&self.config, Arc::clone(&self.directory), Arc::clone(&self.seal))
    }

    /// What everybody asks who calls providers.
    pub fn guards(&self) -> (Ledger, Arc<KillSwitch>) {
        (self.ledger.clone(), Arc::clone(&self.kill_switch))
    }

    /// Runs what every process has, whatever its roles.
    pub fn run(&self, supervisor: &mut Supervisor, roles: &[Role]) {
        let (directory, log) = (Arc::clone(&self.directory), Arc::clone(&self.log));
        supervisor.spawn("directory", move |context| follow(Arc::clone(&directory), Arc::clone(&log), context));
        let follower = Follower {
            kill_switch: Arc::clone(&self.kill_switch),
            log: Arc::clone(&self.log),
            clock: Arc::clone(&self.clock),
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        };
        supervisor.spawn("kill_switch", move |context| follower.clone().run(context));
        if let Some(exporter) = self.exporter.clone() {
            supervisor.spawn("traces", move |context| Arc::clone(&exporter).run(context));
        }
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
