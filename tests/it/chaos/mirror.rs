//! The mirror's whole way: people and agents write, change and delete on both
//! sides while the hub is killed, the providers fail in all their ways, and
//! webhooks come twice, late and in any order. In the end both sides say the
//! same, each message once, and nothing has gone round in circles.
//!
//! A failing seed is printed; `NEXUS_CHAOS_SEED=17` runs it alone, as far as a
//! process that is killed can be repeated.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use fakes::{
    limits::Limited,
    world::{SLACK_CHANNEL, World},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::rounds;
use crate::{
    agents::socket::{Kind, Socket},
    hub::{PATIENCE, Port, client},
    mirror::scene::{Scene, text, words_of},
    process::{Process, nexus},
};

const DEEDS: usize = 40;
const KILLS: usize = 3;
/// Seeds at the same time: each waits much more than it computes.
const AT_ONCE: usize = 5;
const TASKS: [&str; 2] = ["The checkout fails", "The basket forgets"];
/// Slack's second, so that a test need not wait for it: the fake keeps it, too.
const CHANNEL_MS: u64 = 20;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// How a hub of this test is started, again and again at the same address.
#[derive(Clone)]
struct Home {
    directory: PathBuf,
    port: Arc<Port>,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = nexus();
        command.args(arguments).envs(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("NEXUS_DATA_DIR", &self.directory).env("PORT", self.port.number().to_string());
        command
    }

    fn start(&self) -> Process {
        Process::start(self.command(&["up"]))
    }

    fn seed(&self) -> Vec<(String, String)> {
        let output = self.command(&["seed", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seeded: Value = serde_json::from_slice(&output.stdout).unwrap();
        let agents = seeded["agents"].as_array().unwrap().iter();
        agents.map(|agent| (text(&agent["clientId"]), text(&agent["clientSecret"]))).collect()
    }
}

fn home(scene: &Scene, directory: &Path, kafka: Option<(&str, &str)>) -> Home {
    let mut settings = scene.settings();
    let own = [
        ("NEXUS_AUTH_BCRYPT_COST", "4".to_owned()),
        ("NEXUS_LOG_SEGMENT_MB", "2".to_owned()),
        ("NEXUS_MIRROR_SETTLE_MS", "300".to_owned()),
        ("NEXUS_MIRROR_TIMEOUT_MS", "600".to_owned()),
        ("NEXUS_MIRROR_SLACK_CHANNEL_MS", CHANNEL_MS.to_string()),
        ("NEXUS_RETRIES_ATTEMPTS_MAX", "30".to_owned()),
    ];
    settings.extend(own);
    if let Some((brokers, prefix)) = kafka {
        settings.push(("KAFKA_BROKERS", brokers.to_owned()));
        settings.push(("NEXUS_KAFKA_TOPIC_PREFIX", prefix.to_owned()));
        settings.push(("NEXUS_KAFKA_GROUP_INSTANCE_ID", format!("{prefix}0")));
    }
    Home { directory: directory.to_owned(), port: Arc::new(Port::hold()), settings }
}

/// A message of somebody's, wherever it stands first.
struct Said {
    number: usize,
    version: usize,
    provider: &'static str,
    id: String,
    is_gone: bool,
}

impl Said {
    fn words(&self) -> String {
        words(self.number, self.version)
    }
}

fn words(number: usize, version: usize) -> String {
    format!("word {number} in version {version}.")
}

/// All that was said.
struct Play<'a> {
    scene: &'a Scene,
    dice: Dice,
    tasks: Vec<(String, String)>,
    said: Vec<Said>,
    numbers: usize,
    /// Of agents: whether the hub said that it has taken it.
    agents: Vec<(usize, bool)>,
}

impl Play<'_> {
    async fn do_something(&mut self, url: &str, login: &(String, String)) {
        let (task, thread) = self.tasks[self.dice.below(self.tasks.len() as u64) as usize].clone();
        match self.dice.below(100) {
            0..28 => {
                let number = self.next();
                let id = self.scene.say(&thread, &words(number, 0)).await;
                self.said.push(Said { number, version: 0, provider: "slack", id, is_gone: false });
            }
            28..54 => {
                let number = self.next();
                let id = self.scene.comment(&task, &words(number, 0)).await;
                self.said.push(Said { number, version: 0, provider: "clickup", id, is_gone: false });
            }
            54..74 => {
                let Some(said) = self.pick() else { return };
                said.version += 1;
                let (id, words, provider) = (said.id.clone(), said.words(), said.provider);
                match provider {
                    "slack" => self.scene.say_otherwise(&id, &words).await,
                    _ => drop(self.scene.put(&format!("clickup/comments/{id}"), json!({ "text": words })).await),
                }
            }
            // A comment that is deleted at ClickUp is told to nobody.
            74..80 => {
                let Some(said) = self.pick().filter(|said| said.provider == "slack") else { return };
                said.is_gone = true;
                let id = said.id.clone();
                self.scene.unsay(&id).await;
            }
            80..90 => {
                let number = self.next();
                let is_taken = speak(url, login, &task, &words(number, 0)).await;
                self.agents.push((number, is_taken));
            }
            _ => self.fail(),
        }
    }

    fn next(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    fn pick(&mut self) -> Option<&mut Said> {
        let place = self.dice.below(self.said.len().max(1) as u64) as usize;
        self.said.get_mut(place).filter(|said| !said.is_gone)
    }

    /// The next call that fits fails.
    fn fail(&mut self) {
        let mut fault = match self.dice.below(6) {
            0 => json!({"status": 500}),
            1 => json!({"status": 502, "lands": true}),
            2 => json!({"hang": true, "lands": true}),
            3 => json!({"hang": true}),
            4 => json!({"status": 429, "headers": [["retry-after", "1"]]}),
            _ => json!({"answerLateMs": 200}),
        };
        fault["provider"] = json!(["slack", "clickup"][self.dice.below(2) as usize]);
        fault["method"] = json!("POST");
        fault["times"] = json!(1);
        self.scene.provider.fault(fault);
    }

    /// Waits until both sides have everything, and looks whether they have it
    /// once.
    async fn check(&self) {
        for said in self.said.iter().filter(|said| !said.is_gone) {
            for provider in ["slack", "clickup"] {
                self.scene.finds(provider, &said.words()).await;
            }
        }
        for (number, _) in self.agents.iter().filter(|(_, is_taken)| *is_taken) {
            for provider in ["slack", "clickup"] {
                self.scene.finds(provider, &words(*number, 0)).await;
            }
        }
        // What nobody was told the end of may still be on its way to one side.
        self.scene.until("agreement", |world| self.disagreements(world).is_empty().then_some(())).await;
        let writes = self.scene.rests().await;
        assert!(writes <= 60 + 6 * DEEDS, "{writes} calls for {DEEDS} deeds");
        let disagreements = self.disagreements(&self.scene.provider.fakes.world());
        assert!(
            disagreements.is_empty(),
            "{disagreements:#?} {:#?} {:#?}",
            self.scene.said("slack"),
            self.scene.said("clickup")
        );
    }

    /// What does not stand on both sides once, or on neither where it was taken
    /// back; an agent's words that it was not told the end of may do either.
    fn disagreements(&self, world: &World) -> Vec<String> {
        let slack: Vec<_> = world.slack_messages.all().map(|row| words_of("slack", row)).collect();
        let clickup: Vec<_> = world.clickup_comments.all().map(|row| words_of("clickup", row)).collect();
        let counts = |number: usize| {
            let name = format!("word {number} in");
            let count = |side: &[String]| side.iter().map(|said| said.matches(&name).count()).sum::<usize>();
            (count(&slack), count(&clickup))
        };
        let people = self.said.iter().filter_map(|said| {
            let (counts, expected) = (counts(said.number), if said.is_gone { (0, 0) } else { (1, 1) });
            (counts != expected).then(|| format!("{}: {counts:?}, not {expected:?}", said.words()))
        });
        let agents = self.agents.iter().filter_map(|(number, is_taken)| {
            let counts = counts(*number);
            let is_right = counts == (1, 1) || (!is_taken && counts == (0, 0));
            (!is_right).then(|| format!("an agent's {number}: {counts:?}"))
        });
        people.chain(agents).collect()
    }
}

/// An agent comes, says something and goes; whether it heard that it was taken.
async fn speak(url: &str, login: &(String, String), task: &str, words: &str) -> bool {
    let asked = json!({ "client_id": login.0, "client_secret": login.1 });
    let answer = client().post(format!("{url}/auth/token")).json(&asked).send().await;
    let token = match answer {
        Ok(answer) => answer.json::<Value>().await.unwrap_or_default()["access_token"].as_str().map(str::to_owned),
        Err(_) => None,
    };
    let Some(token) = token else { return false };
    let address = url.trim_start_matches("http://").parse().unwrap();
    let data = json!({ "taskId": task, "text": words, "requestId": words });
    // A task of its own: where the hub dies in a handshake, the helper panics.
    let said = tokio::spawn(async move {
        let mut socket = Socket::open(address, Kind::Plain, &token).await.ok()?;
        socket.say("agent_ready", json!({ "ack": true })).await;
        socket.say("message", data.clone()).await;
        loop {
            let (name, event) = tokio::time::timeout(Duration::from_secs(3), socket.next()).await.ok()??;
            if event["eventId"].is_string() {
                socket.ack(&event).await;
            }
            if name == "action_result" && event["requestId"] == data["requestId"] {
                return Some(event["status"] == "accepted");
            }
        }
    });
    said.await.ok().flatten().unwrap_or(false)
}

async fn story(seed: u64, kafka: Option<(&str, &str)>) {
    let scene = Scene::open().await;
    let directory = tempfile::tempdir().unwrap();
    let home = home(&scene, directory.path(), kafka);
    {
        let mut world = scene.provider.fakes.world();
        world.limits.insert("slack", Limited::new(1, CHANNEL_MS));
        world.limits.insert("clickup", Limited::new(100_000, 60_000));
    }
    let starting = home.clone();
    let (logins, hub) = tokio::task::spawn_blocking(move || (starting.seed(), starting.start())).await.unwrap();
    let url = hub.url.clone();
    scene.tell(&url).await;
    scene.misbehave();
    let mut tasks = Vec::new();
    for title in TASKS {
        let task = scene.task(title).await;
        tasks.push((task, text(&scene.finds("slack", title).await["ts"])));
    }
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let pauses: Vec<_> = (0..KILLS).map(|_| Duration::from_millis(50 + dice.below(900))).collect();
    let restarting = home.clone();
    let killing = tokio::task::spawn_blocking(move || {
        pauses.into_iter().fold(hub, |hub, pause| {
            std::thread::sleep(pause);
            hub.kill();
            restarting.start()
        })
    });
    let mut play = Play { scene: &scene, dice, tasks, said: Vec::new(), numbers: 0, agents: Vec::new() };
    for _ in 0..DEEDS {
        play.do_something(&url, &logins[0]).await;
        let pause = play.dice.below(120);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let hub = tokio::time::timeout(PATIENCE, killing).await.unwrap().unwrap();
    play.check().await;
    let refused = {
        let world = scene.provider.fakes.world();
        assert_eq!(world.slack_messages.with("channel", SLACK_CHANNEL).count(), world.slack_messages.all().count());
        world.calls.iter().filter(|made| made.status == Some(429)).count()
    };
    let said = play.said.len() + play.agents.len();
    println!("seed {seed}: {said} messages, {} calls that write, {refused} refused", scene.writes());
    tokio::task::spawn_blocking(move || hub.kill()).await.unwrap();
}

/// The seeds, so many at a time; the one that fails is named.
async fn stories(count: usize, at_once: usize, kafka: Option<(String, String)>) {
    let alone = std::env::var("NEXUS_CHAOS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = alone.map_or(1..=count as u64, |seed| seed..=seed).collect();
    stream::iter(seeds)
        .for_each_concurrent(at_once, |seed| {
            let (begun, kafka) = (Instant::now(), kafka.clone());
            let told = tokio::spawn(async move {
                let prefix = kafka.as_ref().map(|(brokers, prefix)| (brokers.as_str(), format!("{prefix}{seed}-")));
                story(seed, prefix.as_ref().map(|(brokers, prefix)| (*brokers, prefix.as_str()))).await;
            });
            async move {
                if told.await.is_err() {
                    panic!("seed {seed} failed after {:?}; NEXUS_CHAOS_SEED={seed} runs it alone", begun.elapsed());
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_whatever_dies() {
    stories(rounds(10), AT_ONCE, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-mirror-{}-", std::process::id());
    stories(rounds(3).min(5), 1, Some((brokers, prefix))).await;
}
