//! What an agent is told, when, on which of its sockets, and what is written
//! down of it.

use gateway::{Settings, session::Limits};
use pipeline::{event::Addressee, topics::Topic};
use serde_json::json;

use super::{Kind, World, impatient, settings, socket::KINDS, until};

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_and_what_was_missed_comes_later() {
    for kind in KINDS {
        let world = World::new().await;
        let gateway = world.gateway().await;
        let bob = world.agent("bob").await;
        let mut socket = gateway.open(kind, &bob).await;
        let hello = socket.expect("hello").await;
        assert_eq!(hello, json!({"type": "HELLO", "seq": 0, "epoch": 1, "resumed": false}));
        socket.say("agent_ready", json!({"ack": true})).await;
        world.tell(&["bob"], "task_assigned").await;
        world.tell(&["eve"], "wake_up").await;
        world.tell(&["eve", "bob"], "context_update").await;
        let first = socket.take("task_assigned").await;
        let second = socket.take("context_update").await;
        assert_eq!((&first["seq"], &first["prevSeq"]), (&json!(1), &json!(0)));
        assert_eq!((&second["seq"], &second["prevSeq"]), (&json!(2), &json!(1)));
        assert_eq!((&second["agentId"], &second["tenantId"]), (&json!("bob"), &json!("acme")));
        let online = gateway.gateway.online();
        assert_eq!(online.list("acme")[0].name.as_deref(), Some("bob"));
        assert!(online.list("umbra").is_empty());
        socket.close().await;
        until("bob is gone", || online.list("acme").is_empty()).await;
        let missed = [world.tell(&["bob"], "wake_up").await, world.tell(&["bob"], "wake_up").await];
        let mut socket = gateway.open(kind, &bob).await;
        assert_eq!(socket.expect("hello").await, json!({"type": "HELLO", "seq": 2, "epoch": 1, "resumed": true}));
        socket.say("agent_ready", json!({"ack": true})).await;
        for id in missed {
            assert_eq!(socket.take("wake_up").await["eventId"], id);
        }
        socket.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again() {
    for kind in KINDS {
        let world = World::new().await;
        let gateway = world.gateway_with(impatient()).await;
        let bob = world.agent("bob").await;
        let mut socket = gateway.connect(kind, &bob).await;
        let ids = [world.tell(&["bob"], "wake_up").await, world.tell(&["bob"], "wake_up").await];
        let first = socket.expect("wake_up").await;
        socket.take("wake_up").await;
        // The second is done with; the first comes again on this socket…
        let again = socket.expect("wake_up").await;
        assert_eq!(first, again);
        drop(socket);
        // … and on the next one, and then the second too: a cursor has no holes.
        let mut socket = gateway.connect(kind, &bob).await;
        assert_eq!(socket.take("wake_up").await["eventId"], ids[0]);
        assert_eq!(socket.take("wake_up").await["eventId"], ids[1]);
        socket.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_ios_own_acknowledgements_count_when_asked_for() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let mut socket = gateway.open(Kind::SocketIo, &bob).await;
    socket.expect("hello").await;
    socket.say("agent_ready", json!({"ack": "callback"})).await;
    world.tell(&["bob"], "wake_up").await;
    let told = socket.text().await.unwrap();
    assert!(told.starts_with("42/agents,1[\"wake_up\""), "{told}");
    socket.send("43/agents,1[]").await;
    let cursor = &world.values(Topic::AgentsCursors, 1).await[0];
    assert_eq!(cursor["seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_nothing_of_our_protocol_is_served_at_the_write() {
    for kind in KINDS {
        let world = World::new().await;
        let gateway = world.gateway_with(impatient()).await;
        let bob = world.agent("bob").await;
        world.tell(&["bob"], "wake_up").await;
        let mut socket = gateway.open(kind, &bob).await;
        socket.expect("hello").await;
        socket.expect("wake_up").await;
        socket.hears_nothing().await;
        assert_eq!(world.values(Topic::AgentsCursors, 1).await[0]["seq"], 1);
        drop(socket);
        let mut socket = gateway.open(kind, &bob).await;
        assert_eq!(socket.expect("hello").await["seq"], 1);
        socket.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_socket_is_told_and_the_one_before_takes_over() {
    for kind in KINDS {
        let world = World::new().await;
        let (one, two) = (world.gateway().await, world.gateway().await);
        let bob = world.agent("bob").await;
        let mut old = one.connect(kind, &bob).await;
        world.tell(&["bob"], "wake_up").await;
        old.take("wake_up").await;
        let mut new = two.connect(kind, &bob).await;
        let online = one.gateway.online();
        until("the new one is known", || {
            online.list("acme").iter().any(|agent| agent.instance == two.gateway.instance())
        })
        .await;
        world.tell(&["bob"], "task_assigned").await;
        // The cursor of the other instance may be on its way still: then the
        // first one comes along again.
        assert_eq!(new.skip_to("task_assigned").await["seq"], 2);
        old.hears_nothing().await;
        new.close().await;
        world.tell(&["bob"], "context_update").await;
        assert_eq!(old.skip_to("context_update").await["seq"], 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_instance_keeps_nobodys_events() {
    let world = World::new().await;
    let (one, two) = (world.gateway().await, world.gateway().await);
    let bob = world.agent("bob").await;
    let mut old = one.connect(Kind::Plain, &bob).await;
    world.tell(&["bob"], "wake_up").await;
    old.take("wake_up").await;
    let mut new = two.connect(Kind::Plain, &bob).await;
    world.tell(&["bob"], "wake_up").await;
    new.skip_to("wake_up").await;
    two.kill();
    world.tell(&["bob"], "task_assigned").await;
    // After the instance was silent for long enough (15 s), the older socket
    // has the agent's events.
    assert_eq!(old.skip_to("task_assigned").await["seq"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_its_own_sequence() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let mut socket = gateway.open(Kind::Plain, &bob).await;
    socket.expect("hello").await;
    socket.say("agent_ready", json!({"ack": true, "subscribe": {"types": ["task_assigned"]}})).await;
    for name in ["task_assigned", "context_update", "wake_up", "task_assigned", "action_result"] {
        world.tell_with("acme", &["bob"], name, json!({"status": "accepted", "actionId": "act_1"})).await;
    }
    assert_eq!(socket.take("task_assigned").await["prevSeq"], 0);
    let second = socket.take("task_assigned").await;
    assert_eq!((&second["seq"], &second["prevSeq"]), (&json!(4), &json!(1)));
    assert_eq!(socket.take("action_result").await["prevSeq"], 4);
    until("all is noted", || gateway.gateway.mark("acme", "bob").is_some_and(|mark| mark.seq == 5)).await;
    drop(socket);
    let mut socket = gateway.connect(Kind::Plain, &bob).await;
    socket.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_has_another_name_for_another_agent_and_tenants_are_apart() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let (bob, eve) = (world.agent("bob").await, world.agent("eve").await);
    let mallory = world.agent_of("umbra", "bob").await;
    let mut bobs = gateway.connect(Kind::Plain, &bob).await;
    let mut eves = gateway.connect(Kind::SocketIo, &eve).await;
    let mut others = gateway.connect(Kind::Plain, &mallory).await;
    let mut entry = world.entry("acme", &["bob"], "context_update", json!({"message": "hi", "extra": [1, 2]}));
    entry.to.push(Addressee {
        name: Some("task_assigned".to_owned()),
        agent_id: "eve".to_owned(),
        seq: 1,
        prev_seq: 0,
    });
    world.put(&entry).await;
    let told = bobs.take("context_update").await;
    let mut other = eves.take("task_assigned").await;
    assert_eq!(told["extra"], json!([1, 2]));
    other["type"] = told["type"].clone();
    other["agentId"] = told["agentId"].clone();
    assert_eq!(told, other, "all else is the same");
    others.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_after_the_ring_moved_on_gets_all_by_scans() {
    let world = World::new().await;
    let mut settings = settings();
    settings.bounds.recent_max = 16;
    let gateway = world.gateway_with(settings).await;
    let mut agents = Vec::new();
    for number in 0..40 {
        agents.push(world.agent(&format!("agent-{number}")).await);
    }
    let names: Vec<_> = agents.iter().map(|agent| agent.agent.clone()).collect();
    for round in 0..50 {
        let some: Vec<_> = names.iter().skip(round % 3).step_by(3).map(String::as_str).collect();
        world.tell(&some, "wake_up").await;
    }
    let connecting = agents.iter().map(|agent| gateway.connect(Kind::Plain, agent));
    let mut sockets = futures_util::future::join_all(connecting).await;
    for (socket, agent) in sockets.iter_mut().zip(&agents) {
        for seq in 1..=world.seq(&agent.agent) {
            assert_eq!(socket.take("wake_up").await["seq"], seq);
        }
    }
    let scans = gateway.counts().scans.get();
    assert!((1..=40).contains(&scans), "{scans}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_say_is_written_down_and_what_they_cannot_say_is_answered() {
    for kind in KINDS {
        let world = World::new().await;
        let gateway = world.gateway().await;
        let bob = world.agent("bob").await;
        let mut socket = gateway.connect(kind, &bob).await;
        let trace = "0123456789abcdef0123456789abcdef";
        let said = [
            ("message", json!({"requestId": "r1", "taskId": "task_1", "text": "on it", "traceId": trace})),
            ("status_update", json!({"requestId": "r2", "status": "IN_PROGRESS", "taskId": "task_1"})),
            ("tool_request", json!({"requestId": "r3", "tool": "memory_search", "args": {"query": "x"}})),
            ("usage", json!({"model": "m", "inputTokens": 10, "outputTokens": 3, "cost": 0.5})),
            ("trace", json!({"actionId": "act_1", "traceId": trace})),
        ];
        for (name, data) in &said {
            socket.say(name, data.clone()).await;
        }
        let actions = world.values(Topic::AgentsActions, said.len()).await;
        for ((name, data), action) in said.iter().zip(&actions) {
            assert_eq!((action["name"].as_str(), &action["data"]), (Some(*name), data));
            assert_eq!((&action["tenantId"], &action["agentId"]), (&json!("acme"), &json!("bob")));
            assert!(action["id"].as_str().unwrap().starts_with("act_"));
        }
        assert_eq!(actions[0]["traceId"], trace);
        assert_eq!(actions[1]["traceId"].as_str().unwrap().len(), 32);
        socket.say("message", json!({"requestId": "r9", "text": "to nobody"})).await;
        let failed = socket.expect("action_result").await;
        assert_eq!((&failed["status"], &failed["requestId"]), (&json!("failed"), &json!("r9")));
        assert!(failed.get("seq").is_none());
        socket.say("sing", json!({})).await;
        assert_eq!(socket.expect("error").await["code"], "unknown_event");
        assert_eq!(world.values(Topic::AgentsActions, 1).await.len(), said.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_and_nobody_else_notices() {
    let world = World::new().await;
    let settings = Settings {
        progress_timeout: std::time::Duration::from_millis(700),
        limits: Limits { unacked_max: 1_000, ack_timeout_ms: 60_000, ..settings().limits },
        ..settings()
    };
    let gateway = world.gateway_with(settings).await;
    let (bob, eve) = (world.agent("bob").await, world.agent("eve").await);
    let slow = gateway.connect(Kind::Plain, &bob).await;
    let mut quick = gateway.connect(Kind::Plain, &eve).await;
    // More than a connection's buffers hold.
    let text = "x".repeat(256 << 10);
    for _ in 0..64 {
        world.tell_with("acme", &["bob", "eve"], "wake_up", json!({ "message": &text })).await;
        quick.take("wake_up").await;
    }
    until("the slow one is cut", || gateway.gateway.sockets() == 1).await;
    drop(slow);
    let mut back = gateway.connect(Kind::Plain, &bob).await;
    for seq in 1..=64 {
        assert_eq!(back.take("wake_up").await["seq"], seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_and_loses_nothing() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let bob = world.agent("bob").await;
    let mut plain = gateway.connect(Kind::Plain, &bob).await;
    world.tell(&["bob"], "wake_up").await;
    plain.take("wake_up").await;
    until("it is noted", || gateway.gateway.mark("acme", "bob").is_some_and(|mark| mark.seq == 1)).await;
    let ended = tokio::spawn(async move { plain.rest().await });
    gateway.stop().await;
    ended.await.unwrap();
    let cursors = world.values(Topic::AgentsCursors, 1).await;
    assert_eq!(cursors.last().unwrap()["seq"], 1);
    let presence = world.records(Topic::Presence, 4).await;
    assert!(presence.iter().filter(|record| record.value.is_none()).count() >= 2, "the socket and the instance");
    let again = world.gateway().await;
    let mut socket = again.open(Kind::Plain, &bob).await;
    assert_eq!(socket.expect("hello").await["seq"], 1);
}
