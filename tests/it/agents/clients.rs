//! The clients that agents are really written with, as scripts in
//! `tests/clients`: switched on by `NEXUS_TEST_CLIENTS=1`, installed into
//! `target/clients` at the versions that the lock files name.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{Credentials, Instance, World};

/// A script may have to start an interpreter on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a client is installed and started: its folder, and what runs it.
struct Program {
    name: &'static str,
    command: Vec<String>,
    folder: PathBuf,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

async fn must(command: &mut Command) {
    let done = command.output().await.unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

async fn install() -> Vec<Program> {
    let (js, python) = (root().join("target/clients/js"), root().join("target/clients/python"));
    std::fs::create_dir_all(&js).unwrap();
    for file in ["package.json", "package-lock.json", "sio.mjs", "ws.mjs"] {
        std::fs::copy(root().join("tests/clients/js").join(file), js.join(file)).unwrap();
    }
    must(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(&js)).await;
    if !python.join("bin/python").exists() {
        must(Command::new("python3").args(["-m", "venv"]).arg(&python)).await;
    }
    let (pip, of_python) = (python.join("bin/pip"), root().join("tests/clients/python"));
    must(Command::new(pip).args(["install", "-q", "-r"]).arg(of_python.join("requirements.lock"))).await;
    let node = |script: &str| vec!["node".to_owned(), js.join(script).display().to_string()];
    let of_venv = |script: &str| {
        vec![python.join("bin/python").display().to_string(), of_python.join(script).display().to_string()]
    };
    vec![
        Program { name: "socket.io-client", command: node("sio.mjs"), folder: js.clone() },
        Program { name: "ws", command: node("ws.mjs"), folder: js.clone() },
        Program { name: "python-socketio", command: of_venv("sio.py"), folder: python.clone() },
        Program { name: "websockets", command: of_venv("plain.py"), folder: python },
    ]
}

/// A client that runs: it prints a line of JSON for everything that happens to
/// it, and does what it is told by lines.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    orders: ChildStdin,
    name: String,
}

impl Program {
    fn is_socket_io(&self) -> bool {
        matches!(self.name, "socket.io-client" | "python-socketio")
    }

    fn transports(&self) -> &'static [&'static str] {
        if self.is_socket_io() { &["polling", "websocket", "upgrade"] } else { &["websocket"] }
    }

    fn start(&self, gateway: &Instance, transport: &str, token: &str) -> Running {
        let (program, arguments) = self.command.split_first().unwrap();
        let mut child = Command::new(program)
            .args(arguments)
            .args([&format!("http://{}", gateway.address), transport, token])
            .current_dir(existing(&self.folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let orders = child.stdin.take().unwrap();
        Running { child, lines, orders, name: format!("{} over {transport}", self.name) }
    }
}

fn existing(folder: &Path) -> &Path {
    assert!(folder.exists(), "{}", folder.display());
    folder
}

impl Running {
    /// The next thing that happened to it.
    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{} says nothing", self.name)).unwrap();
        let line = line.unwrap_or_else(|| panic!("{} ended", self.name));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}: {line}", self.name))
    }

    async fn expect(&mut self, what: &str) -> Value {
        let next = self.next().await;
        assert_eq!(next["is"], what, "{}: {next}", self.name);
        next
    }

    /// An agent event.
    async fn told(&mut self, name: &str) -> Value {
        let mut next = self.expect("event").await;
        assert_eq!(next["name"], name, "{}: {next}", self.name);
        next["data"].take()
    }

    async fn order(&mut self, order: Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.unwrap();
    }

    async fn ended(mut self) {
        self.order(json!({"do": "close"})).await;
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
    }
}

async fn a_day(program: &Program, transport: &str, world: &World, gateway: Instance, who: &Credentials) {
    for bad in ["nonsense", "a.b.c"] {
        let mut refused = program.start(&gateway, transport, bad);
        refused.expect("refused").await;
        refused.ended().await;
    }
    let mut client = program.start(&gateway, transport, &who.token);
    let seq = client.told("hello").await["seq"].as_u64().unwrap();
    if transport == "upgrade" {
        client.expect("upgraded").await;
    }
    client.order(json!({"do": "say", "name": "agent_ready", "data": {"ack": true}})).await;
    for number in 1..=3 {
        let id = world.tell(&[&who.agent], "task_assigned").await;
        let told = client.told("task_assigned").await;
        assert_eq!((&told["eventId"], &told["seq"]), (&json!(id), &json!(seq + number)), "{}", client.name);
        client.order(json!({"do": "say", "name": "ack", "data": {"id": id}})).await;
    }
    if program.is_socket_io() {
        let data = json!({"taskId": "t", "text": "größe ✓", "requestId": "r"});
        client.order(json!({"do": "ask", "name": "message", "data": data})).await;
        assert_eq!(client.expect("answer").await["data"]["ok"], true, "{}", client.name);
    }
    client.order(json!({"do": "say", "name": "message", "data": {"requestId": "r9", "text": "to nobody"}})).await;
    assert_eq!(client.told("action_result").await["requestId"], "r9");
    client.ended().await;
    let missed = [world.tell(&[&who.agent], "wake_up").await, world.tell(&[&who.agent], "context_update").await];
    // The instance goes, too: any other has what was missed.
    gateway.stop().await;
    let gateway = world.gateway().await;
    let mut client = program.start(&gateway, transport, &who.token);
    assert_eq!(client.told("hello").await["seq"], seq + 3, "{}", client.name);
    if transport == "upgrade" {
        client.expect("upgraded").await;
    }
    client.order(json!({"do": "say", "name": "agent_ready", "data": {"ack": true}})).await;
    assert_eq!(client.told("wake_up").await["eventId"], missed[0]);
    assert_eq!(client.told("context_update").await["eventId"], missed[1]);
    client.order(json!({"do": "say", "name": "ack", "data": {"seq": seq + 5}})).await;
    client.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_get_exactly_what_they_missed() {
    if std::env::var_os("NEXUS_TEST_CLIENTS").is_none() {
        return;
    }
    let programs = install().await;
    for program in &programs {
        for transport in program.transports() {
            let world = World::new().await;
            let who = world.agent("bob").await;
            let gateway = world.gateway_with(gateway::Settings::default()).await;
            a_day(program, transport, &world, gateway, &who).await;
            println!("{} over {transport}: well", program.name);
        }
    }
}
