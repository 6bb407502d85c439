//! A hub in this process, and a client that reads as sentences:
//! `hub.webhook(…).await`, `hub.events().await`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use hub::{Hub as Running, roles::Role};
use pipeline::{
    ports::{Clock, Log, Record, Start, Visibility},
    testing::MemoryLog,
    topics::Topic,
};
use providers::samples::{self, Request, Sender};
use reqwest::StatusCode;
use runtime::{
    clock::SystemClock,
    config::{Config, ConnectionSettings},
    kill_switch::{KillSwitch, follow::Follower},
    supervisor::RoleContext,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpSocket, sync::watch};

/// The secret of all connections of the tests.
pub const SECRET: &str = "test-secret";
/// How long anything may take that does happen, on a machine that is busy with
/// other things. Only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody else is given for as long as this lives. It is bound and
/// not listened at: that keeps it from whoever asks for any port, and leaves it
/// to who asks for this one by its number, again and again.
pub struct Port(TcpSocket);

impl Port {
    pub fn hold() -> Port {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Port(socket)
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

/// A hub with its directory.
pub struct Hub {
    running: Option<Running>,
    client: reqwest::Client,
    pub directory: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The id of a webhook that was accepted.
    pub fn id(&self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()["data"]["id"].as_str().unwrap().to_owned()
    }
}

/// One connection of each provider for the tenant `acme`, and one of Slack for
/// the tenant `umbra`.
pub fn config(directory: &std::path::Path) -> Config {
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    directory.clone_into(&mut config.data_dir);
    config.server.port = 0;
    config.sql.pg_port = 0;
    config.log.segment_mb = 4;
    config.default_tenant = "acme".to_owned();
    config.connections = [
        ("acme", "clickup", "7689a169-a000-4985-8676-6902b96d6627"),
        ("acme", "slack", "T0ACME"),
        ("umbra", "slack", "T0UMBRA"),
        ("acme", "github", "acme/rocket"),
        ("acme", "jira", ""),
        ("acme", "stripe", ""),
        ("acme", "cloudevents", ""),
        ("acme", "generic", ""),
    ]
    .into_iter()
    .map(|(tenant, provider, external_id)| ConnectionSettings {
        id: format!("{tenant}-{provider}"),
        tenant: tenant.to_owned(),
        provider: provider.to_owned(),
        external_id: external_id.to_owned(),
        secret: Some(SECRET.to_owned()),
        secrets: Vec::new(),
    })
    .collect();
    config
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

impl Hub {
    pub async fn start() -> Hub {
        Hub::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Hub {
        Hub::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// With the directory of one that was there before.
    pub async fn start_in(directory: TempDir, change: impl FnOnce(&mut Config)) -> Hub {
        let mut config = config(directory.path());
        change(&mut config);
        Hub::open(directory, config).await
    }

    /// One with these settings, in a directory that may hold something already.
    pub async fn open(directory: TempDir, config: Config) -> Hub {
        let running = Running::start_with(&config, &Role::all(), super::ENGINE).await.unwrap();
        running.ready().await;
        Hub { running: Some(running), client: client(), directory }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn url(&self) -> String {
        self.running().url()
    }

    pub fn address(&self) -> SocketAddr {
        self.running().address()
    }

    /// Where it speaks the PostgreSQL wire protocol.
    #[cfg(feature = "sql")]
    pub fn sql_address(&self) -> SocketAddr {
        self.running().sql_address().unwrap()
    }

    /// A fresh sample, signed as acme's (or `umbra`'s) provider signs.
    pub fn sample(&self, tenant: &str, provider: &str, event: &str) -> Request {
        let sample = samples::find(provider, event).unwrap_or_else(|| panic!("no sample {provider} {event}"));
        let connections = config(self.directory.path()).connections;
        let id = format!("{tenant}-{provider}");
        let connection = connections.into_iter().find(|connection| connection.id == id).unwrap();
        let external_id = Some(connection.external_id).filter(|id| !id.is_empty());
        let sender = Sender { sample, secret: Some(SECRET.to_owned()), connection: Some(id), external_id };
        sender.request(0, SystemClock.now_ms()).unwrap()
    }

    pub async fn webhook(&self, provider: &str, event: &str) -> Answer {
        self.post(self.sample("acme", provider, event)).await
    }

    pub async fn post(&self, request: Request) -> Answer {
        let mut post = self.client.post(format!("{}{}", self.url(), request.path)).body(request.body);
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        Self::read(post.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::read(self.client.get(format!("{}{path}", self.url())).send().await.unwrap()).await
    }

    async fn read(answer: reqwest::Response) -> Answer {
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    /// Its log, to write past the front door.
    pub fn log(&self) -> Arc<dyn Log> {
        self.running().log()
    }

    /// A request with the administrator's token.
    pub async fn admin(&self, method: reqwest::Method, path: &str) -> Answer {
        let token = hub::Notice::read(self.directory.path()).unwrap().token;
        let request = self.client.request(method, format!("{}{path}", self.url())).bearer_auth(token);
        Self::read(request.send().await.unwrap()).await
    }

    /// All roles are at work, and none of them ever had to begin again.
    pub async fn is_unharmed(&self) {
        let ready = self.get("/health/ready").await;
        assert_eq!(ready.status, StatusCode::OK, "{}", ready.text);
        let metrics = self.get("/metrics").await.text;
        assert!(!metrics.contains("nexus_role_restarts_total{"), "{metrics}");
    }

    /// The records of a topic, once it has `count` of them.
    pub async fn records(&self, topic: Topic, count: usize) -> Vec<Record> {
        let log = self.log();
        let mut records = Vec::new();
        let mut readers = Vec::new();
        for partition in 0..log.partitions() {
            readers.push(log.read(topic, partition, Start::Oldest, Visibility::Durable).await.unwrap());
        }
        let begun = std::time::Instant::now();
        loop {
            for reader in &mut readers {
                records.extend(reader.ready(1000).await.unwrap());
            }
            if records.len() >= count {
                return records;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} records of {}", records.len(), topic.name());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Their values.
    pub async fn values(&self, topic: Topic, count: usize) -> Vec<Value> {
        let value = |record: &Record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        self.records(topic, count).await.iter().map(value).collect()
    }

    pub async fn events(&self, count: usize) -> Vec<Value> {
        self.values(Topic::Events, count).await
    }

    /// Waits until the pipeline has read all that was accepted so far, by
    /// sending one more and waiting for its event.
    pub async fn all_events(&self) -> Vec<Value> {
        let marker = self.webhook("generic", "order.shipped").await.id();
        let mut count = 1;
        loop {
            let events = self.events(count).await;
            if events.iter().any(|event| event["id"] == marker) {
                return events.into_iter().filter(|event| event["id"] != marker).collect();
            }
            count = events.len() + 1;
        }
    }

    /// The same hub, begun anew in its directory.
    pub async fn restart(&mut self) {
        self.running.take().unwrap().stop().await.unwrap();
        let mut config = config(self.directory.path());
        config.auth.bcrypt_cost = 4;
        config.server.client_requests_per_s = 0;
        let running = Running::start(&config, &Role::all()).await.unwrap();
        running.ready().await;
        self.running = Some(running);
    }

    pub async fn stop(mut self) -> TempDir {
        self.running.take().unwrap().stop().await.unwrap();
        self.directory
    }
}

/// A kill switch that is followed as in a hub, over a log in which nobody stops
/// anything. One for all who ask: it has a thread of its own, so that it lives
/// longer than any of their runtimes.
pub fn kill_switch() -> Arc<KillSwitch> {
    static FOLLOWED: LazyLock<Arc<KillSwitch>> = LazyLock::new(|| {
        let kill_switch = KillSwitch::new();
        let (log, clock) = (Arc::new(MemoryLog::new(1)), Arc::new(SystemClock));
        let follower = Follower { kill_switch: Arc::clone(&kill_switch), log, clock, roles: Vec::new() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let (_stop, stopped) = watch::channel(false);
            let context = RoleContext { role: "kill_switch", board: Arc::default(), stop: stopped };
            runtime.block_on(follower.run(context)).expect("it is followed");
        });
        while kill_switch.halted("").is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        kill_switch
    });
    Arc::clone(&FOLLOWED)
}
