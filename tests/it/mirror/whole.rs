//! A whole hub and fake providers: what people and agents say on one side stands
//! on the other, once, whatever comes back of it.

use fakes::world::SLACK_CHANNEL;
use hub::seeding::{self, Seeded};
use pipeline::{ports::Record, topics::Topic};
use reqwest::Method;
use runtime::{config::Config, keys::Keys};
use serde_json::{Value, json};
use store::Store;

use super::scene::{REPOSITORY, Scene, TENANT, text};
use crate::{
    agents::socket::{Kind, Socket},
    hub::{Hub, client},
};

/// A seeded hub with nothing but the house's tokens.
struct House {
    hub: Hub,
    scene: Scene,
    seeded: Seeded,
}

impl House {
    async fn open() -> House {
        let scene = Scene::open().await;
        let directory = tempfile::tempdir().unwrap();
        let env = scene.settings().into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut config = Config::load(None, env).unwrap();
        directory.path().clone_into(&mut config.data_dir);
        (config.server.port, config.sql.pg_port, config.log.segment_mb, config.auth.bcrypt_cost) = (0, 0, 4, 4);
        // Slack's second is kept elsewhere.
        (config.mirror.settle_ms, config.mirror.slack_channel_ms) = (500, 20);
        let store = Store::open(&config).await.unwrap();
        // Seeding copies the settings' tokens into its connections.
        let mut bare = config.clone();
        for key in ["slack_bot_token", "clickup_api_token", "github_token"] {
            bare.providers.set(key, "");
        }
        let seeded = seeding::seed(&store, &bare, &Keys::load(&config).unwrap().seal).await.unwrap();
        store.close().await;
        let hub = Hub::open(directory, config).await;
        scene.tell(&hub.url()).await;
        House { hub, scene, seeded }
    }

    async fn token(&self, client_id: &str, secret: Option<&String>) -> String {
        let asked = json!({"client_id": client_id, "client_secret": secret});
        let answer = client().post(format!("{}/auth/token", self.hub.url())).json(&asked).send().await.unwrap();
        text(&answer.json::<Value>().await.unwrap()["access_token"])
    }

    async fn agent(&self, number: usize, kind: Kind) -> Socket {
        let login = &self.seeded.agents[number].login;
        let token = self.token(&login.client_id, login.client_secret.as_ref()).await;
        let mut socket = Socket::open(self.hub.address(), kind, &token).await.unwrap();
        socket.expect("hello").await;
        socket.say("agent_ready", json!({"ack": true})).await;
        socket
    }

    async fn api(&self, method: Method, path: &str, body: Value) -> Value {
        let admin = &self.seeded.admin;
        let token = self.token(&admin.client_id, admin.client_secret.as_ref()).await;
        let mut request = client().request(method, format!("{}{path}", self.hub.url())).bearer_auth(token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let json: Value = answer.json().await.unwrap_or_default();
        assert!(status.is_success(), "{path}: {status} {json}");
        json["data"].clone()
    }

    async fn tasks(&self) -> Vec<Value> {
        self.api(Method::GET, "/api/tasks", Value::Null).await.as_array().unwrap().clone()
    }

    /// A task as the API has it, once it is like this.
    async fn task(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let tasks = self.tasks().await;
            if let Some(task) = tasks.iter().find(|task| task["externalId"] == id && is_so(task)) {
                return task.clone();
            }
            assert!(begun.elapsed() < crate::hub::PATIENCE, "{id}: {tasks:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// A task that calls the squad, with its thread.
    async fn discussed(&self, name: &str) -> (String, String) {
        let task = self.scene.task(name).await;
        let root = self.scene.finds("slack", name).await;
        let thread = text(&root["ts"]);
        self.task(&task, |task| task["threadTs"] == thread.as_str()).await;
        (task, thread)
    }

    async fn own_ids(&self, provider: &str, expected: &[&str]) {
        let begun = std::time::Instant::now();
        loop {
            let path = format!("/api/connections/con_{TENANT}_{provider}");
            let row = self.api(Method::GET, &path, Value::Null).await;
            if row["ownIds"] == json!(expected) {
                return;
            }
            assert!(begun.elapsed() < crate::hub::PATIENCE, "{provider}: {row}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// A topic's records, once they are so.
    async fn until_records(&self, topic: Topic, are_so: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let begun = std::time::Instant::now();
        loop {
            let records = self.hub.records(topic, 0).await;
            if are_so(&records) {
                return records;
            }
            assert!(begun.elapsed() < crate::hub::PATIENCE, "{}: {records:#?}", topic.name());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn close(self) {
        self.hub.is_unharmed().await;
        let dead = self.hub.log().lag("", &[Topic::DeadLetters]).await.unwrap();
        assert!(dead.iter().all(|lag| lag.end_offset == 0), "something went to the dead letters: {dead:?}");
        self.hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_discussed_on_both_sides() {
    let house = House::open().await;
    let avatar = json!({"avatar": "https://x.example/builder.png"});
    house.api(Method::PATCH, "/api/agents/agt_orchard_builder", avatar).await;
    let (mut builder, mut reviewer) = (house.agent(0, Kind::Plain).await, house.agent(1, Kind::SocketIo).await);
    let scene = &house.scene;

    let task = scene.task("The checkout fails on Safari").await;
    let root = scene.finds("slack", "The checkout fails on Safari").await;
    let said = text(&root["text"]);
    assert!(
        said.contains("please find out why") && said.contains(&format!("https://app.clickup.com/t/{task}")),
        "{said}"
    );
    assert_eq!(root["channel"], SLACK_CHANNEL);
    assert!(root["metadata"]["event_payload"]["id"].as_str().unwrap().starts_with("mir_"), "{root}");
    let thread = text(&root["ts"]);
    let known = house.task(&task, |task| task["threadTs"] == thread.as_str()).await;
    assert_eq!(known["channelId"], SLACK_CHANNEL);
    for agent in [&mut builder, &mut reviewer] {
        let assigned = agent.take("task_assigned").await;
        assert_eq!(assigned["task"]["title"], "The checkout fails on Safari", "{assigned}");
    }

    // Slack → ClickUp.
    scene.say(&thread, "it *only* fails since <https://x.example/41|Monday>").await;
    let comment = scene.finds("clickup", "only fails since").await;
    assert!(text(&comment["comment_text"]).contains("Monday"), "{comment}");
    assert_eq!(comment["task_id"], task.as_str());
    let told = loop {
        let told = builder.skip_to("context_update").await;
        if told["message"]["text"].as_str().is_some_and(|text| text.contains("fails since")) {
            break told;
        }
    };
    assert_eq!(told["thread"]["threadTs"], thread.as_str(), "{told}");

    // ClickUp → Slack.
    scene.comment(&task, "it is the new button").await;
    let copied = scene.finds("slack", "it is the new button").await;
    assert_eq!((&copied["thread_ts"], &copied["username"]), (&json!(thread), &json!("Ada Novak (ClickUp)")));

    // An agent, on both, under its own name.
    builder.say("message", json!({"taskId": task, "text": "I found it: **focus**", "requestId": "r1"})).await;
    assert_eq!(builder.skip_to("action_result").await["status"], "accepted");
    let copied = scene.finds("slack", "I found it").await;
    assert_eq!((&copied["thread_ts"], &copied["username"]), (&json!(thread), &json!("builder")));
    assert_eq!(copied["icons"]["image_48"], "https://x.example/builder.png");
    let comment = scene.finds("clickup", "I found it").await;
    assert!(text(&comment["comment_text"]).contains("builder"), "{comment}");

    // It moves the task.
    builder.say("status_update", json!({"taskId": task, "status": "IN_PROGRESS", "message": "on it"})).await;
    assert_eq!(builder.skip_to("action_result").await["status"], "accepted");
    scene
        .until("the status", |world| {
            (world.clickup_tasks.get(&task)?["status"]["status"] == "in progress").then_some(())
        })
        .await;
    let moved = house.task(&task, |task| task["state"] == "IN_PROGRESS" && task["status"] == "in progress").await;
    assert_eq!(moved["title"], "The checkout fails on Safari");
    scene.finds("clickup", "on it").await;
    scene.finds("slack", "on it").await;

    // A person moves it there.
    scene.put(&format!("clickup/tasks/{task}"), json!({"status": "complete"})).await;
    house.task(&task, |task| task["state"] == "DONE").await;
    scene.finds("slack", "complete").await;
    for words in ["only* fails since", "new button", "I found it", "on it"] {
        scene.stands_once("slack", words);
    }
    for words in ["only fails since", "new button", "I found it", "on it"] {
        scene.stands_once("clickup", words);
    }
    house.own_ids("slack", &["B0NEXUS", "U0NEXUS"]).await;
    house.own_ids("clickup", &["40118800"]).await;
    house.own_ids("github", &["nexus-bot"]).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_an_edit_and_a_deletion_leaves_a_line() {
    let house = House::open().await;
    let scene = &house.scene;
    let (task, thread) = house.discussed("The basket forgets").await;

    let ts = scene.say(&thread, "first words").await;
    scene.finds("clickup", "first words").await;
    scene.say_otherwise(&ts, "better words").await;
    let comment = scene.finds("clickup", "better words").await;
    assert!(!text(&comment["comment_text"]).contains("first words"));

    let id = scene.comment(&task, "seen here").await;
    let copy = scene.finds("slack", "seen here").await;
    scene.put(&format!("clickup/comments/{id}"), json!({"text": "seen there"})).await;
    let edited = scene.finds("slack", "seen there").await;
    assert_eq!(edited["ts"], copy["ts"]);

    scene.unsay(&ts).await;
    let gone = comment["id"].as_str().unwrap();
    let left = |world: &fakes::World| {
        let row = world.clickup_comments.get(gone)?;
        (!row["comment_text"].as_str()?.contains("better words")).then(|| row.clone())
    };
    let line = scene.until("the tombstone", left).await;
    assert!(text(&line["comment_text"]).to_lowercase().contains("deleted"), "{line}");

    // Somebody changes our copy at the tracker: the original's words again.
    let ts = scene.say(&thread, "the original").await;
    let copy = scene.finds("clickup", "the original").await;
    scene.put(&format!("clickup/comments/{}", text(&copy["id"])), json!({"text": "made up"})).await;
    scene
        .until("the original's words", |world| {
            let row = world.clickup_comments.get(copy["id"].as_str()?)?;
            row["comment_text"].as_str()?.contains("the original").then_some(())
        })
        .await;
    scene.stands_once("slack", "the original");
    assert!(!ts.is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoes_go_nowhere_however_they_come() {
    const ROUNDS: usize = 6;
    let house = House::open().await;
    let scene = &house.scene;
    scene.misbehave();
    let mut builder = house.agent(0, Kind::Plain).await;
    let (task, thread) = house.discussed("The coupon counts twice").await;
    let before = scene.rests().await;
    for round in 0..ROUNDS {
        scene.say(&thread, &format!("slack says {round}.")).await;
        scene.comment(&task, &format!("clickup says {round}.")).await;
        // The one whose token we use writes by hand, too.
        let by_hand = json!({"text": format!("we say {round}."), "user": "us"});
        scene.post(&format!("clickup/tasks/{task}/comments"), by_hand).await;
        builder.say("message", json!({"taskId": task, "text": format!("agent says {round}.")})).await;
    }
    for round in 0..ROUNDS {
        scene.finds("clickup", &format!("slack says {round}.")).await;
        scene.finds("slack", &format!("clickup says {round}.")).await;
        scene.finds("slack", &format!("we say {round}.")).await;
        for provider in ["slack", "clickup"] {
            scene.finds(provider, &format!("agent says {round}.")).await;
        }
    }
    let writes = scene.rests().await - before;
    for round in 0..ROUNDS {
        for words in ["slack says", "clickup says", "we say", "agent says"] {
            for provider in ["slack", "clickup"] {
                scene.stands_once(provider, &format!("{words} {round}."));
            }
        }
    }
    // Each of three a copy, the agent's two; an edit more where words were put
    // together.
    assert!(writes <= ROUNDS * 7, "{writes} calls for {ROUNDS} rounds");
    let echoes = house.hub.events(1).await.iter().filter(|event| event["echo"] == true).count();
    assert!(echoes >= ROUNDS, "{echoes} events were known as our own");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issue_is_discussed_on_both_sides() {
    let house = House::open().await;
    let scene = &house.scene;
    let mut builder = house.agent(0, Kind::Plain).await;
    let body = json!({"title": "Prices are rounded", "body": "@AI_Squad look, **all** of them"});
    let issue = scene.post(&format!("github/{REPOSITORY}/issues"), body).await;
    let (number, id) = (issue["number"].to_string(), format!("{REPOSITORY}#{}", issue["number"]));
    let root = scene.finds("slack", "Prices are rounded").await;
    let thread = text(&root["ts"]);
    house.task(&id, |task| task["threadTs"] == thread.as_str()).await;
    builder.take("task_assigned").await;

    let comments = format!("github/{REPOSITORY}/issues/{number}/comments");
    let comment = scene.post(&comments, json!({"text": "since *yesterday*"})).await;
    let copied = scene.finds("slack", "yesterday").await;
    assert_eq!((&copied["thread_ts"], &copied["username"]), (&json!(thread), &json!("ada-novak (GitHub)")));
    let ts = scene.say(&thread, "only in euros").await;
    let copy = scene.finds("github", "only in euros").await;
    builder.say("message", json!({"taskId": id, "text": "fixed in 42"})).await;
    scene.finds("github", "fixed in 42").await;
    scene.finds("slack", "fixed in 42").await;

    scene.put(&format!("github/{REPOSITORY}/comments/{}", comment["id"]), json!({"text": "since Monday"})).await;
    scene.finds("slack", "since Monday").await;
    scene.say_otherwise(&ts, "only in francs").await;
    let edited = scene.finds("github", "only in francs").await;
    assert_eq!(edited["id"], copy["id"]);
    scene.delete(&format!("github/{REPOSITORY}/comments/{}", comment["id"])).await;
    scene
        .until("the deletion", |world| super::scene::one(world, "slack", "since Monday").is_none().then_some(()))
        .await;

    builder.say("status_update", json!({"taskId": id, "status": "IN_PROGRESS"})).await;
    house.task(&id, |task| task["state"] == "IN_PROGRESS").await;
    builder.say("status_update", json!({"taskId": id, "status": "BLOCKED_ON_HUMAN"})).await;
    house.task(&id, |task| task["state"] == "BLOCKED_ON_HUMAN").await;
    builder.say("status_update", json!({"taskId": id, "status": "DONE"})).await;
    let key = format!("{REPOSITORY} {number}");
    scene.until("the issue closed", |world| (world.github_issues.get(&key)?["state"] == "closed").then_some(())).await;
    house.task(&id, |task| task["state"] == "DONE").await;
    scene.patch(&format!("github/{REPOSITORY}/issues/{number}"), json!({"state": "open"})).await;
    house.task(&id, |task| task["state"] != "DONE").await;
    scene.rests().await;
    for words in ["only in francs", "fixed in 42"] {
        scene.stands_once("github", words);
        scene.stands_once("slack", words);
    }
    house.close().await;
}

/// The settings' tokens are the only tenant's: where there are two, nobody's who
/// was not named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_have_no_house() {
    let house = House::open().await;
    let scene = &house.scene;
    house.discussed("For the only tenant").await;
    let local = hub::Notice::read(house.hub.directory.path()).unwrap().token;
    let second = client().post(format!("{}/admin/tenants", house.hub.url())).bearer_auth(local);
    let answer = second.json(&json!({ "id": "umbra", "name": "Umbra" })).send().await.unwrap();
    assert_eq!(answer.status(), reqwest::StatusCode::CREATED);
    // Given, and taken back.
    let is_house = |record: &&Record| record.key == "orchard/row/house/tokens";
    let rows = house.until_records(Topic::PipelineState, |records| records.iter().filter(is_house).count() >= 2).await;
    assert!(rows.iter().rfind(is_house).unwrap().value.is_none());
    let before = scene.rests().await;
    let task = scene.task("For nobody").await;
    house
        .until_records(Topic::Events, |records| {
            let events =
                records.iter().filter_map(|record| serde_json::from_slice::<Value>(record.value.as_ref()?).ok());
            let mut created = events.filter(|event| event["type"] == "NewWorkItem");
            created.any(|event| event["subject"]["externalId"] == task.as_str())
        })
        .await;
    assert_eq!(scene.rests().await, before, "{:#?}", scene.provider.fakes.world().calls);
    house.close().await;
}
