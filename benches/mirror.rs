//! The mirror beside what its providers allow, with fake providers in this
//! process: how long a new task takes to its message in Slack, and how near a
//! long queue comes to one message a second and channel.
//!
//! `cargo bench -p nexus-benches --bench mirror -- --help`

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use fakes::{self, Fakes, World, limits::Limited};
use hub::{Hub, roles::Role, seeding};
use mirror::{Bench, Mirror};
use nexus_benches::Spread;
use pipeline::{
    event::{Connection, Control, MirrorCommand, MirrorPlace, MirrorText, MirrorWork, Project, Row, Time},
    ports::{Clock, Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use providers::{client::Ledger, credentials::Links};
use runtime::{
    clock::SystemClock,
    config::Config,
    directory::Directory,
    keys::Keys,
    sealing::{Seal, new_key},
    supervisor::{Failure, RoleContext},
};
use serde_json::{Value, json};
use store::Store;
use tokio::{net::TcpListener, sync::watch};

const PARTITIONS: u32 = 4;
const SECRET: &str = "bench-webhook-secret";
const WEBHOOK: &str = "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44";

/// Tasks to threads, and queues to limits.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// `cargo bench` says so
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// Task created → message in Slack, through a whole hub
    Threads {
        /// Tasks a second
        #[arg(long, default_value_t = 20.0)]
        rate: f64,
        /// Tasks in all
        #[arg(long, default_value_t = 1_200)]
        tasks: usize,
        /// Channels that they are spread over: a channel takes one a second
        #[arg(long, default_value_t = 60)]
        channels: usize,
        /// How late each answer of a provider is
        #[arg(long, default_value_t = 50)]
        latency_ms: u64,
    },
    /// Many commands for many channels, under Slack's limit
    Queue {
        /// Commands in all
        #[arg(long, default_value_t = 10_000)]
        commands: usize,
        /// Channels in all
        #[arg(long, default_value_t = 100)]
        channels: usize,
        /// Tenants that they belong to; the first asks for everything first
        #[arg(long, default_value_t = 4)]
        tenants: usize,
        /// In so long a channel takes one message (Slack: 1000)
        #[arg(long, default_value_t = 1_000)]
        channel_ms: u64,
        /// How late each answer is
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
    },
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.what {
            What::Threads { rate, tasks, channels, latency_ms } => threads(rate, tasks, channels, latency_ms).await,
            What::Queue { commands, channels, tenants, channel_ms, latency_ms } => {
                queue(commands, channels, tenants.max(1), channel_ms, latency_ms).await
            }
        }
    })
}

async fn providers(latency_ms: u64) -> Result<(Fakes, String), Failure> {
    let fakes = Fakes::new(Arc::new(SystemClock))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    if latency_ms > 0 {
        fakes.world().faults.add(serde_json::from_value(json!({ "latencyMs": latency_ms }))?);
    }
    tokio::spawn(fakes::serve(listener, fakes.clone()));
    Ok((fakes, url))
}

fn config(fakes: &str, more: &[(&str, String)]) -> Result<Config, Failure> {
    let own = [
        ("NEXUS_ALLOW_PRIVATE_TARGETS", "true".to_owned()),
        ("NEXUS_DEFAULT_TENANT", "orchard".to_owned()),
        ("SLACK_BOT_TOKEN", "bench-token".to_owned()),
        ("CLICKUP_API_TOKEN", "bench-token".to_owned()),
        ("WEBHOOK_SECRET_CLICKUP", SECRET.to_owned()),
        ("SLACK_SIGNING_SECRET", SECRET.to_owned()),
    ];
    let all = fakes::addresses(fakes).into_iter().chain(own).chain(more.iter().cloned());
    Ok(Config::load(None, all.map(|(name, value)| (name.to_owned(), value)))?)
}

fn add_channel(fakes: &Fakes, id: &str) {
    let channel = json!({"id": id, "name": id.to_lowercase(), "is_channel": true, "is_archived": false});
    fakes.world().slack_channels.put(id, channel);
}

async fn threads(rate: f64, tasks: usize, channels: usize, latency_ms: u64) -> Result<(), Failure> {
    let (fakes, url) = providers(latency_ms).await?;
    // The plan of a larger workspace: 100 lookups a minute would be what is
    // measured otherwise.
    fakes.world().limits.insert("clickup", Limited::new(10_000, 60_000));
    fakes.world().limits.insert("slack", Limited::new(1, 1_000));
    let data = std::env::temp_dir().join(format!("nexus-mirror-bench-{}", std::process::id()));
    let config = config(&url, &[("NEXUS_DATA_DIR", data.display().to_string()), ("PORT", "0".to_owned())])?;
    let hub = seeded(&config, &fakes, channels).await?;
    let client = reqwest::Client::new();
    let subscribed = json!({"id": WEBHOOK, "secret": SECRET, "endpoint": format!("{}/webhooks/clickup", hub.url())});
    client.post(format!("{url}/fakes/clickup/webhooks")).json(&subscribed).send().await?.error_for_status()?;
    let begun = Instant::now();
    for number in 0..tasks {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let task = json!({"name": format!("task {number}."), "listId": list(number % channels)});
        let request = client.post(format!("{url}/fakes/clickup/tasks")).json(&task);
        tokio::spawn(async move { request.send().await.and_then(reqwest::Response::error_for_status) });
    }
    let patience = Duration::from_secs(60) + Duration::from_secs_f64(tasks as f64 / rate);
    while fakes.world().slack_messages.all().count() < tasks && begun.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut took_us, refused) = spread(&fakes.world())?;
    println!("{tasks} tasks at {rate}/s over {channels} channels, {latency_ms} ms a call; {refused} calls refused");
    println!("task created → message in Slack: {}", Spread::of(&mut took_us));
    hub.stop().await?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// From each task to its message, in microseconds, and how many calls were
/// refused.
fn spread(world: &World) -> Result<(Vec<u32>, usize), Failure> {
    let created: BTreeMap<_, _> = world.clickup_tasks.all().map(|task| (text(&task["name"]), task)).collect();
    let mut took_us: Vec<u32> = Vec::new();
    for message in world.slack_messages.all() {
        let said = text(&message["text"]);
        let task = created.iter().find(|(name, _)| said.contains(name.as_str()));
        let Some((_, task)) = task else { continue };
        let created_ms: f64 = text(&task["date_created"]).parse()?;
        let said_ms = text(&message["ts"]).parse::<f64>()? * 1000.0;
        took_us.push(((said_ms - created_ms).max(0.0) * 1000.0) as u32);
    }
    let refused = world.calls.iter().filter(|made| made.status == Some(429)).count();
    Ok((took_us, refused))
}

fn list(number: usize) -> String {
    format!("90130000{number:04}")
}

/// A hub with a project for each channel.
async fn seeded(config: &Config, fakes: &Fakes, channels: usize) -> Result<Hub, Failure> {
    let store = Store::open(config).await?;
    let seeded = seeding::seed(&store, config, &Keys::load(config)?.seal).await?;
    for number in 0..channels {
        let (list, channel) = (list(number), format!("C0MIRROR{number:03}"));
        add_channel(fakes, &channel);
        fakes.world().clickup_lists.put(&list, fakes::clickup::list(&list, "Bench"));
        let project = Project {
            name: format!("Bench {number}"),
            clickup_list_id: Some(list),
            slack_channel_id: Some(channel),
            ..Project::default()
        };
        store.projects().create(seeded.tenant.id, &format!("prj_{number}"), &project).await?;
    }
    store.close().await;
    let hub = Hub::start(config, &Role::all()).await?;
    hub.ready().await;
    Ok(hub)
}

async fn queue(
    commands: usize,
    channels: usize,
    tenants: usize,
    channel_ms: u64,
    latency_ms: u64,
) -> Result<(), Failure> {
    let (fakes, url) = providers(latency_ms).await?;
    fakes.world().limits.insert("slack", Limited::new(1, channel_ms));
    let unused = PathBuf::from("unused").display().to_string();
    let more = [("NEXUS_MIRROR_SLACK_CHANNEL_MS", channel_ms.to_string()), ("NEXUS_DATA_DIR", unused)];
    let config = config(&url, &more)?;
    let (log, seal, clock) = (MemoryLog::new(PARTITIONS), Arc::new(Seal::new(&new_key())?), Arc::new(SystemClock));
    let of_tenant = (channels / tenants).max(1);
    let channels = of_tenant * tenants;
    let tenant = |channel: usize| format!("tenant-{}", channel / of_tenant);
    let mut rows = Vec::new();
    for number in 0..tenants {
        let (name, id) = (format!("tenant-{number}"), "con_slack");
        let row = Connection {
            provider: "slack".to_owned(),
            sealed_token: Some(seal.seal(&name, id, "bench-token")),
            own_ids: vec!["U0NEXUS".to_owned()],
            enabled: true,
            ..Connection::default()
        };
        let (kind, data) = (Connection::KIND.to_owned(), serde_json::to_value(&row)?);
        let control = Control { kind, tenant_id: name.clone(), id: id.to_owned(), data, at: Time::from_ms(0) };
        let key = format!("{name}/{}/{id}", Connection::KIND);
        rows.push(record(Topic::Control, &name, &key, &serde_json::to_value(&control)?)?);
    }
    (0..channels).for_each(|number| add_channel(&fakes, &channel(number)));
    let now_ms = clock.now_ms();
    for number in 0..commands {
        // Tenant after tenant: the first has asked for everything before the
        // last asks for anything.
        let place = number * tenants / commands * of_tenant + number % of_tenant;
        let command = MirrorCommand {
            id: format!("mir_{number:032x}"),
            tenant_id: tenant(place),
            connection_id: "con_slack".to_owned(),
            lane: format!("slack/{place}/{number}"),
            work: MirrorWork::Post {
                place: MirrorPlace::Slack { channel_id: channel(place), thread_ts: None },
                text: MirrorText {
                    markdown: format!("number {number}."),
                    from: "nexus".to_owned(),
                    ..MirrorText::default()
                },
                author: None,
            },
            attempt: 1,
            project_id: None,
            task_id: None,
            action_id: None,
            at: Time::from_ms(now_ms),
            deadline: Time::from_ms(now_ms + 3_600_000),
            trace_id: None,
        };
        let owner = tenant(place);
        rows.push(record(Topic::MirrorCommands, &owner, &owner, &serde_json::to_value(&command)?)?);
    }
    log.append(rows).await?;
    let directory = Arc::new(Directory::default());
    let links = Links::new(&config, Arc::clone(&directory), seal);
    let bench =
        Bench::new(&config, links, Arc::clone(&directory), clock, (Ledger::default(), nexus_benches::kill_switch()))?;
    tokio::spawn(directory.follow(Arc::new(log.clone()), || {}));
    let role = Mirror { log: Arc::new(log), bench: Arc::new(bench) };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(role.run(RoleContext { role: "mirror", board: Arc::default(), stop: stopped }));
    let begun = Instant::now();
    let mut said = BTreeMap::<String, usize>::new();
    let mut evenness = None;
    let mut total = 0;
    // The fakes keep a bounded number of messages: each is counted and let go.
    while total < commands {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut world = fakes.world();
        let new: Vec<_> = world.slack_messages.all().map(|row| (text(&row["channel"]), text(&row["ts"]))).collect();
        for (channel, ts) in new {
            world.slack_messages.take(&format!("{channel} {ts}"));
            let place: usize = channel.trim_start_matches("C0QUEUE").parse()?;
            *said.entry(tenant(place)).or_default() += 1;
            total += 1;
        }
        if evenness.is_none() && total * 2 >= commands {
            evenness = Some((said.values().min().copied(), said.values().max().copied()));
        }
        if begun.elapsed() > Duration::from_secs(1_800) {
            break;
        }
    }
    let took = begun.elapsed();
    let refused = fakes.world().calls.iter().filter(|made| made.status == Some(429)).count();
    let allowed = Duration::from_millis(channel_ms * (commands.div_ceil(channels) as u64 - 1));
    println!("{commands} commands, {channels} channels, {tenants} tenants, one message in {channel_ms} ms and channel");
    println!(
        "{total} said, {refused} refused of the last {} calls; {:.2} s, the limits allow {:.2} s: {:.1} % more",
        fakes.world().calls.len(),
        took.as_secs_f64(),
        allowed.as_secs_f64(),
        (took.as_secs_f64() / allowed.as_secs_f64() - 1.0) * 100.0
    );
    if let Some((Some(least), Some(most))) = evenness {
        println!("at half: between {least} and {most} for a tenant");
    }
    stop.send_replace(true);
    running.await?
}

fn channel(number: usize) -> String {
    format!("C0QUEUE{number:03}")
}

fn record(topic: Topic, tenant: &str, key: &str, value: &Value) -> Result<NewRecord, Failure> {
    Ok(NewRecord {
        topic,
        partition: partition_of(tenant, PARTITIONS),
        at_ms: SystemClock.now_ms(),
        key: key.to_owned().into(),
        value: Some(serde_json::to_vec(value)?.into()),
        headers: Headers::default(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
