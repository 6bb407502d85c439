//! Answers questions: each in a session of its own, on threads that give way to
//! everything else in the process.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use pipeline::ports::{Clock, Log};
use runtime::{
    auth::Authenticate,
    clock::SystemClock,
    config::Config,
    sql::{Cursor, Engine, Followed, Later, Question, Refused},
    supervisor::{Failure, RoleContext},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

use crate::{
    answer::Writer,
    catalog,
    follow::{self, windows::Means},
    lake::{Files, Lake, Note, Sink},
    limits::Limits,
    statement,
    table::{Reads, Source, Whose},
    wire,
};

/// How far the queries' threads stand back, as `nice` counts it.
const NICENESS: i32 = 10;

/// What a tenant that is taken away was about to say is to go too.
const FORGOTTEN_FOR_MS: u64 = 10_000;

/// How long whoever takes a tenant away waits for the lake, and how often it is
/// looked at meanwhile.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A statement of many thousand terms is a tree as deep, which is taken apart
/// by calls within calls. Only what is used takes memory.
const STACK_BYTES: usize = 64 << 20;

/// The engine of one hub.
pub struct Analysts {
    /// What is read.
    pub source: Source,
    /// What a query may take.
    pub limits: Limits,
    /// Queries at the same time.
    pub running: Arc<Semaphore>,
    /// Connections over the wire protocol at the same time.
    pub connected: Arc<Semaphore>,
    /// Where queries run. An engine is dropped within another runtime, where one
    /// may not be waited for: it is let go in the background.
    runtime: Option<Runtime>,
    filling: runtime::config::LakeSettings,
    /// Whether this process writes the lake.
    is_filling: AtomicBool,
    clock: Arc<dyn Clock>,
    /// How late a row of a window may come.
    late_ms: i64,
    address: (IpAddr, u16),
    listener: OnceLock<TcpListener>,
}

impl Analysts {
    /// With the limits of a configuration.
    pub fn new(config: &Config, log: Arc<dyn Log>) -> Result<Analysts, Failure> {
        let settings = &config.sql;
        let limits = Limits::new(settings);
        let runtime = Builder::new_multi_thread()
            .worker_threads(limits.threads.get())
            .thread_name("sql")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(stand_back)
            .enable_all()
            .build()?;
        let files = Files::open(&config.lake, &config.data_dir)?;
        Ok(Analysts {
            source: Source { log, lake: Arc::new(Lake::new(files)), reads: Reads::All },
            filling: config.lake.clone(),
            is_filling: AtomicBool::new(false),
            clock: Arc::new(SystemClock),
            late_ms: i64::from(settings.late_ms),
            limits,
            running: Arc::new(Semaphore::new(settings.running_max.max(1))),
            connected: Arc::new(Semaphore::new(settings.pg_connections_max.max(1))),
            runtime: Some(runtime),
            address: (config.server.host, settings.pg_port),
            listener: OnceLock::new(),
        })
    }

    /// With another clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Analysts {
        self.clock = clock;
        self
    }

    /// Runs something where queries run.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.runtime.as_ref().map(|runtime| runtime.spawn(work))
    }

    async fn answer(&self, question: Question) -> Result<Bytes, Refused> {
        let Ok(running) = Arc::clone(&self.running).try_acquire_owned() else { return Err(Refused::Busy) };
        let (source, limits) = (self.source.clone(), self.limits);
        let work = async move {
            // Held until the work has ended, also where nobody waits any more.
            let _running = running;
            run(&source, &limits, question).await
        };
        let Some(task) = self.spawn(work) else { return Err(Refused::Busy) };
        let stop = task.abort_handle();
        match tokio::time::timeout(self.limits.timeout, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(ended)) => Err(Refused::Failed(format!("the query broke off: {ended}"))),
            Err(_) => {
                stop.abort();
                Err(self.limits.slow())
            }
        }
    }
}

impl Drop for Analysts {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A thread of its own is told to stand back; where that is not allowed, it
/// does not.
fn stand_back() {
    let thread = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(thread), NICENESS);
}

async fn run(source: &Source, limits: &Limits, question: Question) -> Result<Bytes, Refused> {
    let refusal = |error| limits.refusal(&error);
    let session = catalog::session(source, &Whose::tenant(&question.tenant), limits).map_err(refusal)?;
    let frame = statement::frame(&session, &question.text).await?.map_err(refusal)?;
    let mut batches = frame.execute_stream().await.map_err(refusal)?;
    let mut writer = Writer::new(question.format, &batches.schema()).map_err(refusal)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(refusal)?;
        rows += batch.num_rows();
        limits.hold(rows, writer.bytes())?;
        writer.write(&batch).map_err(refusal)?;
        limits.hold(rows, writer.bytes())?;
    }
    writer.finish().map_err(refusal)
}

impl Engine for Analysts {
    fn ask(&self, question: Question) -> Later<'_, Result<Bytes, Refused>> {
        Box::pin(self.answer(question))
    }

    fn follow(&self, question: Question, after: Option<Cursor>) -> Later<'_, Result<Followed, Refused>> {
        let means = Means {
            source: self.source.clone(),
            limits: self.limits,
            running: Arc::clone(&self.running),
            clock: Arc::clone(&self.clock),
            late_ms: self.late_ms,
        };
        Box::pin(async move {
            let Some(task) = self.spawn(follow::begin(means, question, after)) else { return Err(Refused::Busy) };
            match tokio::time::timeout(self.limits.timeout, task).await {
                Ok(Ok(followed)) => followed,
                Ok(Err(ended)) => Err(Refused::Failed(format!("the query broke off: {ended}"))),
                Err(_) => Err(self.limits.slow()),
            }
        })
    }

    fn listen(&self) -> Later<'_, Result<SocketAddr, Failure>> {
        Box::pin(async {
            let (host, port) = self.address;
            let listener = TcpListener::bind((host, port)).await.map_err(|error| {
                format!("cannot listen on {host}:{port} for SQL: {error}; name another with NEXUS_PG_PORT")
            })?;
            let address = listener.local_addr()?;
            let _ = self.listener.set(listener);
            Ok(address)
        })
    }

    fn serve(
        self: Arc<Self>,
        clients: Arc<dyn Authenticate>,
        mut context: RoleContext,
    ) -> Later<'static, Result<(), Failure>> {
        Box::pin(async move {
            let Some(listener) = self.listener.get() else { return Err("nothing listens for SQL".into()) };
            context.running();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = context.stop.wait_for(|stop| *stop) => return Ok(()),
                };
                let (socket, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // As a rule too many open files: it passes.
                        tracing::warn!(%error, "an SQL connection was not taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let Ok(place) = Arc::clone(&self.connected).try_acquire_owned() else {
                    tracing::warn!(%peer, "an SQL connection too many was refused");
                    continue;
                };
                let (clients, stop) = (Arc::clone(&clients), context.stop.clone());
                let engine = Arc::clone(&self);
                self.spawn(async move {
                    wire::serve(engine, clients, socket, peer, stop).await;
                    drop(place);
                });
            }
        })
    }

    fn fill(self: Arc<Self>, context: RoleContext) -> Later<'static, Result<(), Failure>> {
        Box::pin(async move {
            let Source { log, lake, .. } = self.source.clone();
            let sink = Sink::new(log, Arc::clone(&self.clock), lake.files().clone(), self.filling.clone());
            let nudge = Arc::clone(&lake.nudge);
            self.is_filling.store(true, Ordering::Relaxed);
            let Some(runtime) = &self.runtime else { return Err("the engine is going".into()) };
            // On one thread from end to end: the allocator keeps memory by thread,
            // and what goes through here is large.
            let handle = runtime.handle().clone();
            runtime.spawn_blocking(move || handle.block_on(sink.run(context, &nudge))).await?
        })
    }

    fn forget(&self, tenant: String) -> Later<'_, Result<bool, Failure>> {
        let (lake, until_ms) = (Arc::clone(&self.source.lake), self.clock.now_ms() + FORGOTTEN_FOR_MS);
        let note = Note { tenant, until_ms };
        Box::pin(async move {
            note.leave(lake.files()).await?;
            if !self.is_filling.load(Ordering::Relaxed) {
                return Ok(false);
            }
            lake.nudge.notify_one();
            let done = async {
                while note.waits(lake.files()).await? {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Ok(true)
            };
            tokio::time::timeout(FORGOTTEN_WITHIN, done).await.unwrap_or(Ok(false))
        })
    }
}
