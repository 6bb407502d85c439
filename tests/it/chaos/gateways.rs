//! Each role a process of its own, over Kafka: gateways die one after the other
//! and both at once. Webhooks are taken all the same, an agent is served by
//! whichever gateway there is, and each is told of every event once, in order.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    agents::{Books, SENDERS, TENANT, agent, audit, seed},
    rounds, sender, settings,
};
use crate::{
    agents::socket::Kind,
    hub::PATIENCE,
    process::{Process, nexus},
};

/// What processes of one hub share: without it, they would not know each other's
/// tokens.
pub const KEYS: [(&str, &str); 2] = [
    ("JWT_SECRET", "a secret that all processes of this hub have"),
    ("ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
];

/// What must be taken while no gateway is there.
const WITHOUT_GATEWAY: u64 = 40;

pub fn run(roles: &str, directory: &Path, kafka: (&str, &str), number: usize) -> Process {
    let mut command = nexus();
    command.args(["run", "--role", roles]).envs(KEYS);
    settings(&mut command, directory, TENANT, Some(kafka));
    command.env("NEXUS_KAFKA_GROUP_INSTANCE_ID", format!("{}{number}", kafka.1));
    Process::start(command)
}

struct Gateways {
    directories: [tempfile::TempDir; 2],
    running: [Option<Process>; 2],
    doors: [Arc<Mutex<String>>; 2],
    kafka: (String, String),
}

impl Gateways {
    fn kill(&mut self, number: usize) {
        self.running[number].take().unwrap().kill();
    }

    fn start(&mut self, number: usize) {
        let kafka = (&*self.kafka.0, &*self.kafka.1);
        self.running[number] = Some(run("gateway", self.directories[number].path(), kafka, number + 1));
        // Both agents go where there is somebody.
        let url = &self.running[number].as_ref().unwrap().url;
        self.doors.iter().for_each(|door| url.clone_into(&mut door.lock().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_gateway_serves_an_agent_and_webhooks_need_none_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-gateways-{}-", std::process::id());
    let kafka = (&*brokers, &*prefix);
    let directory = tempfile::tempdir().unwrap();
    let logins = seed(directory.path(), Some(kafka), &KEYS);
    let core = tokio::task::block_in_place(|| run("ingest,pipeline,lookups,api", directory.path(), kafka, 0));
    let door = || Arc::new(Mutex::new(String::new()));
    let mut gateways = Gateways {
        directories: [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
        running: [None, None],
        doors: [door(), door()],
        kafka: (brokers.clone(), prefix.clone()),
    };
    tokio::task::block_in_place(|| [0, 1].map(|number| gateways.start(number)));

    let desk = Arc::new(Mutex::new(core.url.clone()));
    let (stop, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let number = Arc::new(AtomicU64::new(0));
    let send = |_| {
        let (desk, stop, number) = (Arc::clone(&desk), Arc::clone(&stop), Arc::clone(&number));
        tokio::spawn(sender("taskCreated.with_task", desk, stop, number))
    };
    let senders: Vec<_> = (0..SENDERS).map(send).collect();
    let all_books = [Arc::new(Mutex::new(Books::default())), Arc::new(Mutex::new(Books::default()))];
    let mut agents = Vec::new();
    for (index, login) in logins.into_iter().enumerate() {
        let kind = [Kind::Plain, Kind::SocketIo][index];
        let places = (Arc::clone(&desk), Arc::clone(&gateways.doors[index]));
        agents.push(tokio::spawn(agent(login, kind, places, Arc::clone(&over), Arc::clone(&all_books[index]))));
    }
    let rounds = rounds(3).min(20);
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(50 + (round as u64 * 7919) % 300)).await;
        // One dies and comes back, and then the other, which the agents left.
        tokio::task::block_in_place(|| {
            for number in [1, 0] {
                gateways.kill(number);
                gateways.start(number);
            }
        });
        tokio::task::block_in_place(|| [0, 1].map(|number| gateways.kill(number)));
        let (taken, begun) = (number.load(Relaxed), Instant::now());
        while number.load(Relaxed) < taken + WITHOUT_GATEWAY {
            assert!(begun.elapsed() < PATIENCE, "without a gateway, no webhook is taken");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::block_in_place(|| [0, 1].map(|number| gateways.start(number)));
    }
    stop.store(true, Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let sent = number.load(Relaxed) as usize;
    let token = hub::Notice::read(directory.path()).unwrap().token;
    let repeats = audit(&all_books, sent, &core.url, &token).await;
    over.store(true, Relaxed);
    for agent in agents {
        agent.await.unwrap();
    }
    println!("{rounds} rounds of dying gateways: {sent} webhooks, each told to 2 agents once; {repeats} repeats");
}
