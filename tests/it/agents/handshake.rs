//! Who gets in, and where the token may stand.

use std::sync::Arc;

use gateway::Settings;
use pipeline::{
    event::{Agent as AgentRow, Client as ClientRow, Role},
    ports::Clock,
};
use runtime::auth::Tokens;
use serde_json::json;
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, http::StatusCode};

use super::{
    Kind, Socket, World,
    socket::{KINDS, Refusal},
    until,
};

struct Past;

impl Clock for Past {
    fn now_ms(&self) -> u64 {
        1_000_000
    }
}

fn is_refused(kind: Kind, result: Result<Socket, Refusal>, status: StatusCode, says: &str) {
    match (kind, result.err().expect("refused")) {
        (Kind::Plain, refusal) => assert_eq!(refusal, Refusal::Status(status), "{says}"),
        (Kind::SocketIo, Refusal::ConnectError(message)) => assert!(message.contains(says), "{message}"),
        (_, other) => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_agents_own_good_token_opens_a_socket() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let old = Tokens::new(b"test secret", Arc::clone(&world.directory), Arc::new(Past));
    let expired = old.issue("acme", &bob.client_id, "bob", Role::Agent);
    let foreign = Tokens::new(b"another secret", Arc::clone(&world.directory), Arc::new(Past));
    let foreign = foreign.issue("acme", &bob.client_id, "bob", Role::Agent);
    // {"alg":"none"}, and HS512 with our claims.
    let claims = bob.token.split('.').nth(1).unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let other = format!("eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.{claims}.{}", bob.token.split('.').nth(2).unwrap());
    let member = ClientRow { role: Role::Member, enabled: true, ..Default::default() };
    world.row("acme", "cli-member", Some(&member)).await;
    until("the member is known", || world.directory.client("cli-member").is_some()).await;
    let member = world.tokens.issue("acme", "cli-member", "cli-member", Role::Member);
    for kind in KINDS {
        let open = async |token: &str| Socket::open(gateway.address, kind, token).await;
        for bad in ["", "nonsense", &foreign, &none, &other] {
            let says = if bad.is_empty() { "needed" } else { "not one of this hub" };
            is_refused(kind, open(bad).await, StatusCode::UNAUTHORIZED, says);
        }
        is_refused(kind, open(&expired).await, StatusCode::UNAUTHORIZED, "expired");
        is_refused(kind, open(&member).await, StatusCode::FORBIDDEN, "not an agent's");
        open(&bob.token).await.unwrap();
    }
    let retired = AgentRow { name: "bob".to_owned(), enabled: false, ..Default::default() };
    world.row("acme", "bob", Some(&retired)).await;
    until("bob is retired", || world.directory.get::<AgentRow>("acme", "bob").is_some_and(|row| !row.enabled)).await;
    for kind in KINDS {
        let refused = Socket::open(gateway.address, kind, &bob.token).await;
        is_refused(kind, refused, StatusCode::FORBIDDEN, "takes no part");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_stand_in_three_places() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let address = gateway.address;
    let by_query = format!("ws://{address}/agents/ws?token={}", bob.token).into_client_request().unwrap();
    Socket::request(address, Kind::Plain, by_query).await.unwrap().expect("hello").await;
    let mut by_protocol = format!("ws://{address}/agents/ws").into_client_request().unwrap();
    let offered = format!("nexus.v1, bearer.{}", bob.token);
    by_protocol.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
    // The client library itself refuses an answer without the echo.
    Socket::request(address, Kind::Plain, by_protocol).await.unwrap().expect("hello").await;
    let mut by_query = Socket::engine(address, &format!("&token={}", bob.token)).await.unwrap();
    by_query.connect_agents(&json!({})).await.unwrap();
    by_query.expect("hello").await;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut by_header = url.into_client_request().unwrap();
    by_header.headers_mut().insert("authorization", format!("Bearer {}", bob.token).parse().unwrap());
    let mut by_header = Socket::request(address, Kind::SocketIo, by_header).await.unwrap();
    by_header.text().await.unwrap();
    by_header.connect_agents(&json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_client_is_cut_soon() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let (bob, eve) = (world.agent("bob").await, world.agent("eve").await);
    for kind in KINDS {
        let mut bobs = gateway.connect(kind, &bob).await;
        let mut eves = gateway.connect(kind, &eve).await;
        let begun = std::time::Instant::now();
        let row = |enabled| ClientRow { agent_id: Some("eve".to_owned()), enabled, ..Default::default() };
        world.row("acme", &eve.client_id, Some(&row(false))).await;
        eves.rest().await;
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
        assert!(Socket::open(gateway.address, kind, &eve.token).await.is_err());
        world.tell(&["bob"], "wake_up").await;
        bobs.take("wake_up").await;
        world.row("acme", &eve.client_id, Some(&row(true))).await;
        until("eve is back", || world.directory.client(&eve.client_id).is_some_and(|(_, client)| client.enabled)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_sockets_as_are_allowed() {
    let world = World::new().await;
    let settings = Settings { sockets_max: 3, agent_sockets_max: 2, ..super::settings() };
    let gateway = world.gateway_with(settings).await;
    let (bob, eve) = (world.agent("bob").await, world.agent("eve").await);
    let mut oldest = gateway.connect(Kind::Plain, &bob).await;
    let _second = gateway.connect(Kind::Plain, &bob).await;
    let _third = gateway.connect(Kind::Plain, &bob).await;
    oldest.rest().await;
    until("its place is free", || gateway.gateway.sockets() == 2).await;
    let _other = gateway.connect(Kind::Plain, &eve).await;
    let refused = Socket::open(gateway.address, Kind::Plain, &eve.token).await.err();
    assert_eq!(refused, Some(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_io_refuses_in_its_own_words() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let base = format!("http://{}/socket.io/", gateway.address);
    let client = crate::hub::client();
    for (method, query, code, message) in [
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=4&transport=pigeon", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client.request(method, format!("{base}?{query}")).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), json!({"code": code, "message": message}));
    }
    // Other namespaces, before the right one.
    let mut socket = Socket::engine(gateway.address, "").await.unwrap();
    socket.send("40").await;
    assert_eq!(socket.text().await.unwrap(), r#"44{"message":"Invalid namespace"}"#);
    socket.send("40/other,{}").await;
    assert_eq!(socket.text().await.unwrap(), r#"44/other,{"message":"Invalid namespace"}"#);
    socket.connect_agents(&json!({"token": bob.token})).await.unwrap();
    socket.expect("hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_carry_a_whole_conversation() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let client = crate::hub::client();
    let base = format!("http://{}/socket.io/?EIO=4&transport=polling", gateway.address);
    let open = client.get(&base).send().await.unwrap().text().await.unwrap();
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], json!(["websocket"]));
    let url = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    let post = async |packets: String| {
        let answer = client.post(&url).body(packets).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
    };
    let mut heard = Vec::new();
    let mut hear = async |what: &str| {
        while !heard.iter().any(|packet: &String| packet.starts_with(what)) {
            let payload = client.get(&url).send().await.unwrap().text().await.unwrap();
            heard.extend(payload.split('\x1e').map(str::to_owned));
        }
        let place = heard.iter().position(|packet| packet.starts_with(what)).unwrap();
        heard.drain(..=place).next_back().unwrap()
    };
    post(format!("40/agents,{}", json!({"token": bob.token}))).await;
    hear("40/agents,{\"sid\"").await;
    hear("42/agents,[\"hello\"").await;
    let ready = format!("42/agents,{}", json!(["agent_ready", {"ack": true}]));
    post(format!("{ready}\x1e42/agents,7[\"heartbeat\"]")).await;
    assert_eq!(hear("43/agents,7").await, "43/agents,7[]");
    let first = world.tell(&["bob"], "task_assigned").await;
    world.tell(&["bob"], "wake_up").await;
    assert!(hear("42/agents,[\"task_assigned\"").await.contains(&first));
    hear("42/agents,[\"wake_up\"").await;
    post("42/agents,[\"ack\",{\"seq\":2}]".to_owned()).await;
    let act = json!(["message", {"taskId": "t", "text": "hi", "requestId": "r"}]);
    post(format!("42/agents,8{act}")).await;
    assert!(hear("43/agents,8").await.contains("\"ok\":true"));
    let action = &world.values(pipeline::topics::Topic::AgentsActions, 1).await[0];
    assert_eq!((&action["agentId"], &action["data"]["requestId"]), (&json!("bob"), &json!("r")));
    // Two polls at once end the connection.
    let one = tokio::spawn(client.get(&url).send());
    until("two polls met", {
        let mut tries = 0;
        let (client, url) = (client.clone(), url.clone());
        let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = Arc::clone(&met);
        tokio::spawn(async move {
            loop {
                let status = client.get(&url).send().await.unwrap().status();
                tries += 1;
                if status == 400 || tries > 100 {
                    seen.store(status == 400, std::sync::atomic::Ordering::SeqCst);
                    return;
                }
            }
        });
        move || met.load(std::sync::atomic::Ordering::SeqCst)
    })
    .await;
    let _ = one.await;
    let gone = client.get(&url).send().await.unwrap();
    assert_eq!(gone.json::<serde_json::Value>().await.unwrap()["code"], 1);
}
