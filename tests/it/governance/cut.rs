//! An agent that says the same again: its socket is cut, and it stays out for the
//! cool-down, whichever instance it turns to and whatever restarts.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use super::{House, say};
use crate::{
    agents::{
        Credentials, World,
        socket::{KINDS, Kind, Refusal, Socket},
        until,
    },
    api::Api,
    hub::PATIENCE,
};

/// Longer than a restart takes on any machine.
const LONG_MS: u64 = 60_000;
/// One whose end is waited for.
const SHORT_MS: u64 = 3_000;

async fn is_refused(house: &House, kind: Kind, token: &str) -> bool {
    match house.open_socket(kind, token).await {
        Ok(_) => false,
        Err(Refusal::Status(status)) => {
            assert_eq!((kind, status), (Kind::Plain, StatusCode::TOO_MANY_REQUESTS));
            true
        }
        Err(Refusal::ConnectError(message)) => {
            assert_eq!(kind, Kind::SocketIo);
            assert!(message.contains("was cut") && message.contains("may come back in"), "{message}");
            true
        }
    }
}

/// Says the same twice, and is cut for it.
async fn is_cut(socket: &mut Socket) {
    assert_eq!(say(socket, "I will retry.").await["status"], "accepted");
    let thread = json!({ "channelId": "C0SHOP", "threadTs": "1.000100" });
    socket.say("message", json!({ "requestId": "again", "thread": thread, "text": "I will retry." })).await;
    // What it is told before it is cut, if it gets that far.
    let told = socket.rest().await;
    assert!(told.iter().all(|(_, data)| data["status"] == "muted" && data["reason"] == "identical"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_the_same_again_is_cut_and_stays_out() {
    let house = House::open().await;
    house.limit("acme", json!({ "coolDownMs": LONG_MS })).await;
    let agent = house.agent("acme", "ada").await;
    let mut sockets = Vec::new();
    for kind in KINDS {
        sockets.push(house.connect(kind, &agent.token).await);
    }
    let (mut silent, mut socket) = (sockets.remove(0), sockets.remove(0));
    let begun = Instant::now();
    // Answers go to the newest socket, once all agree that it is.
    while !house
        .api
        .hub
        .admin(reqwest::Method::GET, "/api/agents/online?tenantId=acme")
        .await
        .text
        .contains("socket.io")
    {
        assert!(begun.elapsed() < PATIENCE, "the second socket is never the newest");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    is_cut(&mut socket).await;
    silent.rest().await;
    assert_eq!(house.alerts(&["agent.stuck"], 1).await.len(), 1);

    for kind in KINDS {
        assert!(is_refused(&house, kind, &agent.token).await);
    }
    // Another agent is not meant, nor one of another tenant with the same name.
    let other = house.agent("umbra", "ada").await;
    drop(house.connect(Kind::Plain, &other.token).await);

    let directory = house.api.hub.stop().await;
    let house = House { api: Api::start_in(directory, |_| {}).await };
    for kind in KINDS {
        assert!(is_refused(&house, kind, &agent.token).await, "after a restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_cut_is_let_in_after_the_cool_down() {
    let house = House::open().await;
    house.limit("acme", json!({ "coolDownMs": SHORT_MS })).await;
    let agent = house.agent("acme", "ada").await;
    let mut socket = house.connect(Kind::Plain, &agent.token).await;
    let begun = Instant::now();
    is_cut(&mut socket).await;
    while is_refused(&house, Kind::Plain, &agent.token).await {
        assert!(begun.elapsed() < PATIENCE, "it is never let in again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(SHORT_MS - 1_500), "{:?}", begun.elapsed());
    let mut socket = house.connect(Kind::SocketIo, &agent.token).await;
    assert_eq!(super::say_until_accepted(&mut socket, "now I know better").await["status"], "accepted");
}

/// The record is all that gateways need: whoever has the socket cuts it.
#[tokio::test(flavor = "multi_thread")]
async fn every_instance_cuts_and_refuses() {
    let world = World::new().await;
    let who = world.agent("ada").await;
    let (one, two) = (world.gateway().await, world.gateway().await);
    let mut sockets = [one.connect(Kind::Plain, &who).await, two.connect(Kind::SocketIo, &who).await];
    bar(&world, &who, 60_000).await;
    for socket in &mut sockets {
        assert!(socket.rest().await.is_empty(), "cut");
    }
    for instance in [&one, &two] {
        let refused = Socket::open(instance.address, Kind::Plain, &who.token).await;
        assert_eq!(refused.err(), Some(Refusal::Status(StatusCode::TOO_MANY_REQUESTS)));
    }
    // One that starts later knows it, and all forget it together.
    let three = world.gateway().await;
    assert!(Socket::open(three.address, Kind::SocketIo, &who.token).await.is_err());
    world.append(pipeline::topics::Topic::Presence, "acme", "acme/barred/ada", None).await;
    until("it is let in", || three.gateway.online().barred("acme", "ada").is_none()).await;
    three.connect(Kind::Plain, &who).await;
}

async fn bar(world: &World, who: &Credentials, for_ms: u64) {
    use pipeline::{event::Time, ports::Clock};
    let now_ms = runtime::clock::SystemClock.now_ms();
    let barred = json!({
        "agentId": who.agent, "reason": "identical", "message": "said the same twice",
        "at": Time::from_ms(now_ms), "until": Time::from_ms(now_ms + for_ms),
    });
    let key = format!("acme/barred/{}", who.agent);
    world.append(pipeline::topics::Topic::Presence, "acme", &key, Some(barred.to_string().into())).await;
}
