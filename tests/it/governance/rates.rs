//! So many messages an agent, so many commands a project.

use std::time::{Duration, Instant};

use pipeline::{event::Time, topics::Topic};
use runtime::config::Config;
use serde_json::{Value, json};

use super::{House, say, say_in, say_until_accepted};
use crate::{
    agents::socket::{KINDS, Kind},
    api::{Api, text},
    hub::PATIENCE,
    lookups::Provider,
};

const WINDOW_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_message_is_refused_until_there_is_room() {
    let house = House::open().await;
    house.limit("acme", json!({ "messages": { "windowMs": WINDOW_MS } })).await;
    for (kind, name) in KINDS.into_iter().zip(["ada", "bo"]) {
        let agent = house.agent("acme", name).await;
        let mut socket = house.connect(kind, &agent.token).await;
        let begun = Instant::now();
        let (mut accepted, mut refused) = (0, None);
        for number in 0..11 {
            let answer = say(&mut socket, &format!("message {number} of {name}")).await;
            match text(&answer["status"]).as_str() {
                "accepted" => accepted += 1,
                _ => refused = Some(answer),
            }
        }
        if begun.elapsed() < Duration::from_millis(WINDOW_MS / 2) {
            assert_eq!(accepted, 10);
        }
        // A machine that took longer has seen room in between, as it should.
        let Some(refused) = refused else { continue };
        assert_eq!((&refused["status"], &refused["reason"]), (&json!("muted"), &json!("messages")), "{refused}");
        assert_eq!(refused["type"], "ACTION_RESULT");
        assert!(refused["actionId"].is_string() && refused["seq"].is_u64(), "{refused}");
        let retry_after_ms = refused["retryAfterMs"].as_u64().unwrap();
        assert!((1..=WINDOW_MS).contains(&retry_after_ms), "{refused}");
        say_until_accepted(&mut socket, "there is room again").await;
        let alerts = house.alerts(&["agent.muted"], 1).await;
        let of_agent = alerts.iter().filter(|(_, tenant, subject)| tenant == "acme" && *subject == agent.id).count();
        assert_eq!(of_agent, 1, "one an episode: {alerts:?}");
    }
    // The other tenant has the hub's own limits, and its own windows.
    let agent = house.agent("umbra", "ada").await;
    let mut socket = house.connect(Kind::Plain, &agent.token).await;
    let mut last = Value::Null;
    for number in 0..11 {
        last = say(&mut socket, &format!("message {number}")).await;
        assert_eq!(last["status"] == "accepted", number < 10, "{last}");
    }
    assert!(last["retryAfterMs"].as_u64().unwrap() > WINDOW_MS, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_message() {
    let house = House::open().await;
    let agent = house.agent("acme", "ada").await;
    let mut socket = house.connect(Kind::Plain, &agent.token).await;
    for number in 0..6 {
        assert_eq!(say(&mut socket, &format!("before {number}")).await["status"], "accepted");
    }
    drop(socket);
    let directory = house.api.hub.stop().await;
    let house = House { api: Api::start_in(directory, |_| {}).await };
    let mut socket = house.connect(Kind::Plain, &agent.token).await;
    for number in 0..5 {
        let answer = say(&mut socket, &format!("after {number}")).await;
        assert_eq!(answer["status"] == "accepted", number < 4, "{answer}");
    }
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silenced_by_hand_is_silent_until_it_is_lifted() {
    let house = House::open().await;
    let agent = house.agent("acme", "ada").await;
    let mut socket = house.connect(Kind::SocketIo, &agent.token).await;
    let local = house.api.local();
    let by_hand = async |verb: &str| {
        let path = format!("/api/agents/{}/{verb}?tenantId=acme", agent.id);
        let answer = house.api.ask("POST", &path, &local, None).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    };
    by_hand("mute").await;
    let refused = say(&mut socket, "may I?").await;
    assert_eq!((&refused["status"], &refused["reason"]), (&json!("muted"), &json!("mutedByAdmin")), "{refused}");
    assert!(refused.get("retryAfterMs").is_none());
    by_hand("unmute").await;
    assert_eq!(say(&mut socket, "may I?").await["status"], "accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_commands_wait_and_go_in_order() {
    let provider = Provider::start().await;
    let slack = format!("{}/slack/api", provider.url);
    let change = |config: &mut Config| {
        config.providers.set("slack_api_url", slack);
        config.providers.allow_private_targets = true;
    };
    let house = House { api: Api::start_with(change).await };
    let channel = json!({"id": "C0SHOP", "name": "shop", "is_channel": true, "is_archived": false});
    provider.fakes.world().slack_channels.put("C0SHOP", channel);
    for (tenant, team) in [("acme", "T0SHOP"), ("umbra", "T0DARK")] {
        house.project(tenant).await;
        let slack = json!({ "provider": "slack", "externalId": team, "apiToken": "xoxb-test", "ownIds": ["U0NEXUS"] });
        house.api.made(&format!("/api/connections?tenantId={tenant}"), slack).await;
    }
    let limits = json!({ "syncs": { "limit": 2, "windowMs": 4_000 }, "messages": { "level": "off" } });
    house.limit("acme", limits).await;
    let acme = house.agent("acme", "ada").await;
    let umbra = house.agent("umbra", "ada").await;
    let mut socket = house.connect(Kind::Plain, &acme.token).await;
    let mut other = house.connect(Kind::Plain, &umbra.token).await;
    // Each in a thread of its own, so that none waits for another's result.
    for number in 0..5 {
        let thread = format!("17950000{number:02}.000100");
        assert_eq!(say_in(&mut socket, &thread, &format!("acme {number}")).await["status"], "accepted");
        assert_eq!(say_in(&mut other, &thread, &format!("umbra {number}")).await["status"], "accepted");
    }
    let begun = Instant::now();
    let said_there = || -> Vec<String> {
        provider.fakes.world().slack_messages.all().map(|message| text(&message["text"])).collect()
    };
    let said = loop {
        let said = said_there();
        if said.len() >= 10 {
            break said;
        }
        assert!(begun.elapsed() < PATIENCE, "{said:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(said.len(), 10, "nothing is lost, nothing comes twice: {said:?}");
    let commands = house.api.hub.values(Topic::MirrorCommands, 10).await;
    let time = |command: &Value| serde_json::from_value::<Time>(command["at"].clone()).unwrap().as_ms();
    let of = |tenant: &str| commands.iter().filter(|command| command["tenantId"] == tenant).collect::<Vec<_>>();
    let words = |command: &&Value| text(&command["work"]["text"]["markdown"]);
    let acme = of("acme");
    assert_eq!(acme.iter().map(words).collect::<Vec<_>>(), ["acme 0", "acme 1", "acme 2", "acme 3", "acme 4"]);
    let times: Vec<u64> = acme.iter().map(|command| time(command)).collect();
    for begin in &times {
        assert!(times.iter().filter(|time| (*begin..begin + 4_000).contains(*time)).count() <= 2, "{times:?}");
    }
    let umbra: Vec<u64> = of("umbra").iter().map(|command| time(command)).collect();
    assert!(umbra[4] < times[4], "the other tenant does not wait");
    assert_eq!(
        house.alerts(&["project.throttled"], 1).await,
        [("project.throttled".to_owned(), "acme".to_owned(), "prj_1".to_owned())]
    );
}
