//! The agents' gateway over a real log and real sockets: one or more instances,
//! a pipeline that is played by the test, and agents that read as sentences:
//! `agent.expect("task_assigned").await`.

mod chaos;
mod clients;
mod delivery;
mod handshake;
mod hostile;
pub mod socket;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gateway::{Counts, Gateway, Parts, Settings, session::Limits};
use log::embedded::{self, Journal};
use pipeline::{
    event::{Addressee, Agent as AgentRow, Client as ClientRow, Control, InboxEntry, Role, Row, Time},
    ports::{Headers, Log, NewRecord, Record, Start, Visibility},
    topics::{Topic, partition_of},
};
use runtime::{
    auth::Tokens,
    clock::SystemClock,
    directory::Directory,
    http::server,
    supervisor::{Board, RoleContext, Status},
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use super::hub::{self, PATIENCE};
pub use socket::{Kind, Socket};

/// Times that a test does not have to wait for, and patience that a busy
/// machine may need.
pub fn settings() -> Settings {
    let limits = Limits { grace_ms: 100, ack_timeout_ms: 400, ..Limits::default() };
    Settings { limits, ..Settings::default() }
}

/// A log, a directory, and who issues tokens: what all instances share.
pub struct World {
    pub log: Arc<dyn Log>,
    pub directory: Arc<Directory>,
    pub tokens: Arc<Tokens>,
    seqs: Mutex<HashMap<String, u64>>,
    told: Mutex<u64>,
    _folder: TempDir,
}

impl World {
    pub async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let journal = embedded::Settings { partitions: 2, segment_bytes: 4 << 20, ..Default::default() };
        let log: Arc<dyn Log> = Arc::new(Journal::open(folder.path(), journal).unwrap());
        let directory = Arc::new(Directory::default());
        let tokens = Arc::new(Tokens::new(b"test secret", Arc::clone(&directory), Arc::new(SystemClock)));
        let follow = Arc::clone(&directory).follow(Arc::clone(&log), || {});
        tokio::spawn(follow);
        World { log, directory, tokens, seqs: Mutex::default(), told: Mutex::default(), _folder: folder }
    }

    /// A row of the directory; without one, it is deleted.
    pub async fn row<R: Row>(&self, tenant: &str, id: &str, row: Option<&R>) {
        let control = row.map(|row| Control {
            kind: R::KIND.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.to_owned(),
            data: serde_json::to_value(row).unwrap(),
            at: Time(0),
        });
        let value = control.map(|control| serde_json::to_vec(&control).unwrap().into());
        self.append(Topic::Control, tenant, &format!("{tenant}/{}/{id}", R::KIND), value).await;
    }

    /// An agent of `acme`, and a client for it.
    pub async fn agent(&self, name: &str) -> Credentials {
        self.agent_of("acme", name).await
    }

    pub async fn agent_of(&self, tenant: &str, name: &str) -> Credentials {
        let client_id = format!("cli-{tenant}-{name}");
        let row = AgentRow { name: name.to_owned(), client_id: client_id.clone(), enabled: true, ..Default::default() };
        self.row(tenant, name, Some(&row)).await;
        let client = ClientRow { agent_id: Some(name.to_owned()), enabled: true, ..Default::default() };
        self.row(tenant, &client_id, Some(&client)).await;
        until("the directory knows the client", || self.directory.client(&client_id).is_some()).await;
        let token = self.tokens.issue(tenant, &client_id, name, Role::Agent);
        Credentials { agent: name.to_owned(), client_id, token }
    }

    pub async fn append(&self, topic: Topic, tenant: &str, key: &str, value: Option<bytes::Bytes>) {
        let record = NewRecord {
            topic,
            partition: partition_of(tenant, self.log.partitions()),
            at_ms: 0,
            key: bytes::Bytes::copy_from_slice(key.as_bytes()),
            value,
            headers: Headers::default(),
        };
        self.log.append(vec![record]).await.unwrap();
    }

    /// What the pipeline would write: one event for some agents of `acme`.
    pub async fn tell(&self, agents: &[&str], name: &str) -> String {
        self.tell_with("acme", agents, name, json!({})).await
    }

    pub async fn tell_with(&self, tenant: &str, agents: &[&str], name: &str, data: Value) -> String {
        let entry = self.entry(tenant, agents, name, data);
        let id = entry.id.clone();
        self.put(&entry).await;
        id
    }

    pub async fn put(&self, entry: &InboxEntry) {
        let value = serde_json::to_vec(entry).unwrap().into();
        self.append(Topic::AgentsInbox, &entry.tenant_id, &entry.tenant_id, Some(value)).await;
    }

    pub fn entry(&self, tenant: &str, agents: &[&str], name: &str, data: Value) -> InboxEntry {
        let mut seqs = self.seqs.lock().unwrap();
        let to = agents.iter().map(|agent| {
            let seq = seqs.entry(format!("{tenant}/{agent}")).or_default();
            *seq += 1;
            Addressee { agent_id: (*agent).to_owned(), seq: *seq, prev_seq: *seq - 1, name: None }
        });
        let to = to.collect();
        let mut told = self.told.lock().unwrap();
        *told += 1;
        InboxEntry {
            id: format!("evt_{:032x}", *told),
            tenant_id: tenant.to_owned(),
            trace_id: Some(format!("{:032x}", *told)),
            name: name.to_owned(),
            to,
            at: Time::from_ms(1_795_000_000_000),
            event: None,
            data: data.as_object().cloned().filter(|data: &Map<_, _>| !data.is_empty()),
        }
    }

    /// How many numbers an agent was given.
    pub fn seq(&self, agent: &str) -> u64 {
        self.seqs.lock().unwrap().get(&format!("acme/{agent}")).copied().unwrap_or_default()
    }

    pub async fn gateway(&self) -> Instance {
        self.gateway_with(settings()).await
    }

    /// An instance of the gateway with a runtime of its own, so that it can die.
    pub async fn gateway_with(&self, settings: Settings) -> Instance {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let counts = Arc::new(Counts::new().unwrap());
        let gateway = Gateway::new(Parts {
            log: Arc::clone(&self.log),
            directory: Arc::clone(&self.directory),
            tokens: Arc::clone(&self.tokens),
            clock: Arc::new(SystemClock),
            counts: Arc::clone(&counts),
            kill_switch: hub::kill_switch(),
            settings,
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let board = Arc::new(Board::default());
        let context = RoleContext { role: "gateway", board: Arc::clone(&board), stop: stopped.clone() };
        let running = runtime.spawn(Arc::clone(&gateway).run(context));
        let router = gateway.router();
        let serving = server::Settings {
            connections_max: 20_000,
            head_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(2),
        };
        runtime.spawn(async move {
            server::serve(TcpListener::from_std(listener).unwrap(), router, serving, stopped).await;
        });
        until("the gateway runs", || board.all().get("gateway") == Some(&Status::Running)).await;
        Instance { gateway, address, counts, stop, running: Some(running), runtime: Some(runtime) }
    }

    /// The values of a topic, once it has so many.
    pub async fn values(&self, topic: Topic, count: usize) -> Vec<Value> {
        let records = self.records(topic, count).await;
        records.iter().filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok()).collect()
    }

    pub async fn records(&self, topic: Topic, count: usize) -> Vec<Record> {
        let mut readers = Vec::new();
        for partition in 0..self.log.partitions() {
            readers.push(self.log.read(topic, partition, Start::Oldest, Visibility::Durable).await.unwrap());
        }
        let (mut records, begun) = (Vec::new(), Instant::now());
        loop {
            for reader in &mut readers {
                records.extend(reader.ready(1_000).await.unwrap());
            }
            if records.len() >= count {
                return records;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} records of {}", records.len(), topic.name());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub agent: String,
    pub client_id: String,
    pub token: String,
}

/// One instance of the gateway.
pub struct Instance {
    pub gateway: Arc<Gateway>,
    pub address: SocketAddr,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    running: Option<tokio::task::JoinHandle<Result<(), runtime::supervisor::Failure>>>,
    runtime: Option<Runtime>,
}

impl Instance {
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// An agent's socket that says that it is ready and acknowledges.
    pub async fn connect(&self, kind: Kind, who: &Credentials) -> Socket {
        let mut socket = self.open(kind, who).await;
        socket.expect("hello").await;
        socket.say("agent_ready", json!({"ack": true, "protocol": "nexus.v1", "capabilities": ["test"]})).await;
        socket
    }

    /// One that has said nothing yet.
    pub async fn open(&self, kind: Kind, who: &Credentials) -> Socket {
        Socket::open(self.address, kind, &who.token).await.unwrap()
    }

    /// It dies without a word.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// It is told to stop, and does.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.running.take().unwrap().await.unwrap().unwrap();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for something to become so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
