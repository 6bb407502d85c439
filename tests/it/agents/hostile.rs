//! Clients that mean no good, or know no better: bounded memory, honest errors,
//! and others undisturbed.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gateway::{Settings, session::Limits};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Kind, Socket, World, settings,
    socket::{KINDS, Refusal},
    until,
};

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_and_the_socket_goes_on() {
    for kind in KINDS {
        let world = World::new().await;
        let gateway = world.gateway().await;
        let bob = world.agent("bob").await;
        let mut socket = gateway.connect(kind, &bob).await;
        let nonsense = match kind {
            Kind::Plain => ["{", "[]", "\"hello\"", "{\"event\":7}"],
            Kind::SocketIo => ["42/agents,{", "42/agents,[]", "42/agents,", "42[\"message\"]"],
        };
        for text in nonsense {
            socket.send(text).await;
            let (name, _) = socket.next().await.unwrap();
            assert_eq!(name, "error", "{text}");
        }
        socket.ws.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        assert_eq!(socket.expect("error").await["code"], "binary_unsupported");
        socket.say("ack", json!({"id": 7})).await;
        assert_eq!(socket.expect("error").await["code"], "bad_data");
        socket.say("ack", json!({"seq": 999})).await;
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        socket.say("agent_ready", json!({"ack": "maybe"})).await;
        match kind {
            Kind::Plain => socket.send(&format!("{{\"event\":\"message\",\"data\":{deep}}}")).await,
            Kind::SocketIo => socket.send(&format!("42/agents,[\"message\",{deep}]")).await,
        }
        assert_eq!(socket.expect("action_result").await["status"], "failed");
        socket.say("agent_ready", json!({"ack": true})).await;
        world.tell(&["bob"], "wake_up").await;
        socket.take("wake_up").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_much_is_cut() {
    for kind in KINDS {
        let world = World::new().await;
        let settings = Settings { message_bytes_max: 10_000, actions_per_second_max: 5, ..settings() };
        let gateway = world.gateway_with(settings).await;
        let (bob, eve) = (world.agent("bob").await, world.agent("eve").await);
        let mut calm = gateway.connect(kind, &eve).await;
        let mut large = gateway.connect(kind, &bob).await;
        large.say("message", json!({"text": "x".repeat(20_000)})).await;
        assert!(large.rest().await.is_empty());
        let mut flood = gateway.connect(kind, &bob).await;
        for number in 0..100 {
            flood.say("message", json!({"taskId": "t", "text": format!("{number}")})).await;
        }
        let told = flood.rest().await;
        assert_eq!(told.last().unwrap().1["code"], "rate_limited", "{told:?}");
        world.tell(&["eve"], "wake_up").await;
        calm.take("wake_up").await;
        let cut = gateway.counts().cut.with_label_values(&["rate_limited"]).get();
        assert_eq!(cut, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_socket_is_found_out() {
    for kind in KINDS {
        let world = World::new().await;
        let limits = Limits { ping_interval_ms: 200, ping_timeout_ms: 200, ..settings().limits };
        let gateway = world.gateway_with(Settings { limits, ..settings() }).await;
        let bob = world.agent("bob").await;
        let socket = gateway.connect(kind, &bob).await;
        until("bob is there", || gateway.gateway.sockets() == 1).await;
        // Nobody reads from it any more, so nobody answers pings.
        until("the socket is cut", || gateway.gateway.sockets() == 0).await;
        drop(socket);
        assert_eq!(gateway.counts().cut.with_label_values(&["ping_timeout"]).get(), 1);
        let mut alive = gateway.connect(kind, &bob).await;
        for _ in 0..3 {
            alive.hears_nothing().await;
        }
        assert_eq!(gateway.gateway.sockets(), 1, "who answers stays");
    }
}

/// What this process has in memory now.
fn memory_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_bad_tokens_leave_nothing_behind() {
    // As many as somebody wants to see: `NEXUS_TEST_HANDSHAKES=100000`.
    let handshakes = std::env::var("NEXUS_TEST_HANDSHAKES").map_or(3_000, |count| count.parse().unwrap());
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let mut calm = gateway.connect(Kind::Plain, &bob).await;
    let address = gateway.address;
    let knock = move |kind: Kind| async move {
        for number in 0..handshakes / 20 {
            let refused = Socket::open(address, kind, &format!("bad.{number}.token")).await;
            match (kind, refused.err().expect("refused")) {
                (Kind::Plain, Refusal::Status(status)) => assert_eq!(status, 401),
                (Kind::SocketIo, Refusal::ConnectError(_)) => {}
                (_, other) => panic!("{other:?}"),
            }
        }
    };
    let (begun, before_kib) = (std::time::Instant::now(), memory_kib());
    let mut knocking = tokio::task::JoinSet::new();
    for number in 0..20 {
        knocking.spawn(knock(KINDS[number % 2]));
    }
    while let Some(done) = knocking.join_next().await {
        done.unwrap();
    }
    println!("{handshakes} bad tokens in {:?}: {before_kib} → {} KiB", begun.elapsed(), memory_kib());
    assert_eq!(gateway.gateway.sockets(), 1);
    let refused = gateway.counts().refused.with_label_values(&["invalid_token"]).get();
    assert_eq!(refused as usize, handshakes / 20 * 20);
    world.tell(&["bob"], "wake_up").await;
    calm.take("wake_up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_and_says_nothing_is_let_go() {
    let world = World::new().await;
    let gateway = world.gateway_with(Settings { connect_timeout: Duration::from_millis(300), ..settings() }).await;
    let mut mute = Socket::engine(gateway.address, "").await.unwrap();
    assert_eq!(mute.text().await, None);
    let mut early = Socket::engine(gateway.address, "").await.unwrap();
    early.send("42/agents,[\"message\",{}]").await;
    assert_eq!(early.text().await, None, "events before CONNECT end the connection");
    let open = crate::hub::client().get(format!("http://{}/socket.io/?EIO=4&transport=polling", gateway.address));
    let open = open.send().await.unwrap().text().await.unwrap();
    let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    let url =
        format!("http://{}/socket.io/?EIO=4&transport=polling&sid={}", gateway.address, open["sid"].as_str().unwrap());
    let last = crate::hub::client().get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(last, "1", "closed");
    assert_eq!(crate::hub::client().get(&url).send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_protocol_end_the_socket() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "GET /agents/ws?token={} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        bob.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A text frame that is not masked, of a client.
    stream.write_all(&[0x81, 0x02, b'h', b'i']).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let all = String::from_utf8_lossy(&all);
    assert!(all.starts_with("HTTP/1.1 101") && all.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{all}");
    until("it is gone", || gateway.gateway.sockets() == 0).await;
    // A request that is none for a WebSocket.
    let answer = crate::hub::client().get(format!("http://{}/agents/ws?token={}", gateway.address, bob.token));
    assert_eq!(answer.send().await.unwrap().status(), 426);
    let mut socket = gateway.connect(Kind::Plain, &bob).await;
    socket.ws.send(Message::Ping(vec![7].into())).await.unwrap();
    let answer = socket.ws.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong(vec![7].into()));
}
