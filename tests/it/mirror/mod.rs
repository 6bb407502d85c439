//! The mirror's role on a log in memory, against the fakes: what is asked for is
//! done once, in order, whatever fails and whenever it crashes.

mod answers;
mod chaos;
mod faults;
mod order;
mod recovery;
pub mod scene;
mod whole;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mirror::{Bench, Mirror};
use pipeline::{
    event::{
        Agent, Connection, Control, ExternalId, MirrorCommand, MirrorPart, MirrorPlace, MirrorResult, MirrorStage,
        MirrorText, MirrorWork, Row, Time, User,
    },
    ports::{Clock, Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use providers::{client::Ledger, credentials::Links};
use runtime::{
    clock::SystemClock,
    config::Config,
    directory::Directory,
    sealing::{Seal, new_key},
    supervisor::RoleContext,
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{hub, lookups::Provider};

const PARTITIONS: u32 = 2;
/// More than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The channel, task, issue that there are.
pub const CHANNEL: &str = "C0ORCHARD";
pub const REPOSITORY: &str = "orchard/shop";

/// The role at work.
pub struct Office {
    pub log: MemoryLog,
    pub provider: Provider,
    seal: Arc<Seal>,
    config: Config,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    numbers: u64,
}

impl Office {
    /// With connections to all providers for acme and umbra.
    pub async fn open() -> Office {
        let provider = Provider::start().await;
        let mut config = hub::config(std::path::Path::new("unused"));
        config.providers.set("clickup_api_url", format!("{}/clickup/api/v2", provider.url));
        config.providers.set("slack_api_url", format!("{}/slack/api", provider.url));
        config.providers.set("github_api_url", format!("{}/github", provider.url));
        config.providers.set("jira_api_url", format!("{}/jira", provider.url));
        config.providers.allow_private_targets = true;
        (config.mirror.settle_ms, config.mirror.timeout_ms) = (150, 500);
        let seal = Arc::new(Seal::new(&new_key()).unwrap());
        let log = MemoryLog::new(PARTITIONS);
        let mut office = Office { log, provider, seal, config, running: None, numbers: 0 };
        for tenant in ["acme", "umbra"] {
            office.connect(tenant).await;
        }
        office.furnish();
        office.start();
        office
    }

    async fn connect(&self, tenant: &str) {
        for provider in ["slack", "clickup", "github", "jira"] {
            let id = format!("con-{provider}");
            let sealed_token = Some(self.seal.seal(tenant, &id, &format!("token-{tenant}")));
            let row =
                Connection { provider: provider.to_owned(), sealed_token, enabled: true, ..Connection::default() };
            self.row(tenant, &id, &row).await;
        }
        let external = |provider: &str, id: &str| ExternalId { provider: provider.to_owned(), id: id.to_owned() };
        let ids = vec![external("slack", "U0ADA"), external("clickup", "40118823"), external("github", "ada-novak")];
        self.row(tenant, "usr_1", &User { name: "Ada Novak".to_owned(), external_ids: ids, ..User::default() }).await;
        self.row(tenant, "agt_1", &Agent { name: "Fixer".to_owned(), ..Agent::default() }).await;
    }

    pub async fn row<R: Row>(&self, tenant: &str, id: &str, row: &R) {
        let control = Control {
            kind: R::KIND.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.to_owned(),
            data: serde_json::to_value(row).unwrap(),
            at: Time::from_ms(0),
        };
        let value = serde_json::to_vec(&control).unwrap();
        self.append(Topic::Control, tenant, &format!("{tenant}/{}/{id}", R::KIND), value).await;
    }

    /// A channel, a task that nobody has touched lately, an issue each.
    fn furnish(&self) {
        self.channel(CHANNEL);
        self.provider.task("t1");
        let mut world = self.provider.fakes.world();
        let (github, jira) = (
            json!({
                "id": 1, "number": 7, "title": "Checkout fails", "state": "open", "state_reason": null,
                "updated_at": "2026-11-20T08:00:00Z", "closed_at": null, "comments": 0,
                "repository_url": format!("https://api.github.com/repos/{REPOSITORY}"),
            }),
            json!({"id": "10001", "key": "SHOP-1", "fields": {
                "status": {"id": "1", "name": "To Do", "statusCategory": {"key": "new"}},
                "updated": "2026-11-20T08:00:00.000+0000",
            }}),
        );
        world.github_issues.put(&format!("{REPOSITORY} 7"), github);
        world.jira_issues.put("SHOP-1", jira);
    }

    pub fn channel(&self, id: &str) {
        let channel = json!({"id": id, "name": id.to_lowercase(), "is_channel": true, "is_archived": false});
        self.provider.fakes.world().slack_channels.put(id, channel);
    }

    pub fn start(&mut self) {
        self.start_with(|_| {});
    }

    /// The role, with other settings.
    pub fn start_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let directory = Arc::new(Directory::default());
        let links = Links::new(&self.config, Arc::clone(&directory), Arc::clone(&self.seal));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let guards = (Ledger::default(), hub::kill_switch());
        let bench = Bench::new(&self.config, links, Arc::clone(&directory), clock, guards).unwrap();
        let following = directory.follow(Arc::new(self.log.clone()), || {});
        let role = Mirror { log: Arc::new(self.log.clone()), bench: Arc::new(bench) };
        let (stop, stopped) = watch::channel(false);
        let context = RoleContext { role: "mirror", board: Arc::default(), stop: stopped };
        let running = tokio::spawn(async move {
            // A log that crashes under it is what some tests are about.
            tokio::select! {
                _ = role.run(context) => {}
                _ = following => {}
            }
        });
        self.running = Some((stop, running));
    }

    pub async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send_replace(true);
        running.await.unwrap();
    }

    /// All of it is gone at once, and what was not durable with it.
    pub async fn crash(&mut self) {
        let (_stop, running) = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
        // Last: who still lived would find a log that takes its claims again.
        self.log.crash();
    }

    async fn append(&self, topic: Topic, tenant: &str, key: &str, value: Vec<u8>) {
        let record = NewRecord {
            topic,
            partition: partition_of(tenant, PARTITIONS),
            at_ms: SystemClock.now_ms(),
            key: key.to_owned().into(),
            value: Some(value.into()),
            headers: Headers::default(),
        };
        self.log.append(vec![record]).await.unwrap();
    }

    /// A command that nobody has written yet.
    pub fn command(&mut self, tenant: &str, lane: &str, work: MirrorWork) -> MirrorCommand {
        self.numbers += 1;
        let now_ms = SystemClock.now_ms();
        MirrorCommand {
            id: format!("mir_{:032x}", self.numbers),
            tenant_id: tenant.to_owned(),
            connection_id: format!("con-{}", provider_of(&work)),
            lane: lane.to_owned(),
            work,
            attempt: 1,
            project_id: None,
            task_id: None,
            action_id: None,
            at: Time::from_ms(now_ms),
            deadline: Time::from_ms(now_ms + 60_000),
            trace_id: None,
        }
    }

    pub async fn write(&self, command: &MirrorCommand) {
        let value = serde_json::to_vec(command).unwrap();
        self.append(Topic::MirrorCommands, &command.tenant_id, &command.tenant_id, value).await;
    }

    /// Asks for something; the command's id.
    pub async fn ask(&mut self, lane: &str, work: MirrorWork) -> String {
        let command = self.command("acme", lane, work);
        self.write(&command).await;
        command.id
    }

    pub fn results(&self, id: &str) -> Vec<MirrorResult> {
        let all = self.log.records(Topic::MirrorResults).into_iter();
        let all = all.map(|record| serde_json::from_slice::<MirrorResult>(&record.value.unwrap()).unwrap());
        all.filter(|result| result.command_id == id).collect()
    }

    /// How a command ended.
    pub async fn end(&self, id: &str) -> MirrorResult {
        let is_end = |result: &MirrorResult| result.stage != MirrorStage::Claimed;
        self.until(id, || self.results(id).into_iter().find(is_end)).await
    }

    pub async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Asks for something and waits for how it ends.
    pub async fn does(&mut self, work: MirrorWork) -> MirrorResult {
        let id = self.ask("lane", work).await;
        self.end(&id).await
    }

    /// What stands in the channel, or at the tracker.
    pub fn said(&self, provider: &str) -> Vec<String> {
        let world = self.provider.fakes.world();
        let text = |row: &Value| match provider {
            "slack" => row["text"].as_str().unwrap().to_owned(),
            "clickup" => row["comment_text"].as_str().unwrap().to_owned(),
            "github" => row["body"].as_str().unwrap().to_owned(),
            _ => udfs::markup::adf_to_plain(&row["body"]),
        };
        let table = match provider {
            "slack" => &world.slack_messages,
            "clickup" => &world.clickup_comments,
            "github" => &world.github_comments,
            _ => &world.jira_comments,
        };
        table.all().map(text).collect()
    }
}

fn provider_of(work: &MirrorWork) -> &'static str {
    match work {
        MirrorWork::Post { place, .. }
        | MirrorWork::Edit { place, .. }
        | MirrorWork::Retract { place, .. }
        | MirrorWork::SetStatus { place, .. } => place.provider(),
        MirrorWork::Whisper { .. } | MirrorWork::CreateChannel { .. } => "slack",
    }
}

/// The place that there is at a provider.
pub fn place(provider: &str) -> MirrorPlace {
    match provider {
        "slack" => MirrorPlace::Slack { channel_id: CHANNEL.to_owned(), thread_ts: None },
        "clickup" => MirrorPlace::Clickup { task_id: "t1".to_owned() },
        "github" => MirrorPlace::Github { repository: REPOSITORY.to_owned(), number: 7 },
        _ => MirrorPlace::Jira { issue: "SHOP-1".to_owned() },
    }
}

pub fn text(markdown: &str) -> MirrorText {
    MirrorText { markdown: markdown.to_owned(), from: "nexus".to_owned(), ..MirrorText::default() }
}

pub fn post(provider: &str, words: &str) -> MirrorWork {
    MirrorWork::Post { place: place(provider), text: text(words), author: None }
}

pub fn edit(provider: &str, parts: Vec<MirrorPart>, words: &str) -> MirrorWork {
    MirrorWork::Edit { place: place(provider), parts, limit: None, text: text(words), author: None }
}

/// Where something is said everywhere.
pub const PROVIDERS: [&str; 4] = ["slack", "clickup", "github", "jira"];
