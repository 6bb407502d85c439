//! What governance finds: each kind of alert reaches people, and what was done
//! to an agent is in the trail.

use serde_json::{Value, json};

use super::{
    super::{
        agents::{Kind, Socket},
        api::text,
    },
    ADMINS, House,
    alerts::Hook,
    until,
};

/// Says something about a task, and gives the answer, if it is not cut first.
async fn say(socket: &mut Socket, task: &Value, words: &str) -> Option<Value> {
    socket.say("message", json!({ "requestId": words, "taskId": task, "text": words })).await;
    loop {
        let (name, data) = socket.next().await?;
        if name == "action_result" && data["requestId"] == words {
            return Some(data);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_finds_reaches_people_and_the_trail() {
    let (hook, url) = Hook::start().await;
    let house = House::open_with(|config| {
        config.alerts.webhook_url = url;
        config.alerts.webhook_secret = super::alerts::HOOK_SECRET.to_owned();
        config.agents.silent_ms = 3_000;
    })
    .await;
    let limits = json!({
        "messages": { "limit": 6 }, "syncs": { "limit": 1 },
        "nearDuplicates": { "count": 2 }, "handoffs": { "cycles": 2 }, "noProgress": { "messages": 5 },
    });
    house.ask("PATCH", "/api/tenant", Some(json!({ "limits": limits }))).await;
    let other = house.api.agent_of("acme", "other").await;
    let mut one = house.socket(Kind::Plain).await;
    let mut two = Socket::open(house.api.hub.address(), Kind::SocketIo, &other.2).await.unwrap();
    two.expect("hello").await;
    two.say("agent_ready", json!({ "protocol": "nexus.v1" })).await;
    house.webhook("github", "issues.opened", &[]).await;
    let task = one.skip_to("task_assigned").await["task"]["id"].clone();

    // To and fro twice, with the same but for a number: a circle, a repetition,
    // and more than a project may send on in an hour.
    for round in 0..2 {
        for socket in [&mut one, &mut two] {
            let words = format!("I have looked at the checkout and hand it on to you now, round {round}");
            assert_eq!(say(socket, &task, &words).await.unwrap()["status"], "accepted");
        }
    }
    assert_eq!(say(&mut one, &task, "So be it.").await.unwrap()["status"], "accepted");
    for number in 0..4 {
        let said = say(&mut two, &task, &format!("Number {number} of many other things")).await.unwrap();
        assert_eq!(said["status"], "accepted", "{said}");
    }
    assert_eq!(say(&mut two, &task, "One too many").await.unwrap()["status"], "muted");
    say(&mut one, &task, "I will retry.").await;
    // It is cut for the second of these, answered or not.
    say(&mut one, &task, "I will retry.").await;
    one.rest().await;
    two.close().await;
    let wanted = [
        ("agent.repeating", house.agent.1.as_str()),
        ("agent.muted", &other.1),
        ("agent.stuck", &house.agent.1),
        ("agent.offline", &other.1),
        ("project.throttled", &house.project),
        ("task.handoffs", task.as_str().unwrap()),
        ("task.no_progress", task.as_str().unwrap()),
    ];
    let posted = |kind: &str, subject: &str| {
        let taken = hook.taken.lock().unwrap();
        taken.iter().filter(|(_, body)| body["type"] == kind && body["data"]["subject"] == subject).count()
    };
    for (kind, subject) in wanted {
        until(&format!("the webhook knows of {kind}"), || posted(kind, subject) == 1).await;
    }
    let said = || -> Vec<String> {
        let world = house.provider.fakes.world();
        world.slack_messages.all().filter(|row| row["channel"] == ADMINS).map(|row| text(&row["text"])).collect()
    };
    for (kind, _) in wanted {
        until(&format!("the channel knows of {kind}"), || said().iter().any(|line| line.contains(kind))).await;
    }
    // Back: told once, and gone again is told again.
    let mut two = Socket::open(house.api.hub.address(), Kind::Plain, &other.2).await.unwrap();
    two.expect("hello").await;
    until("it is told that it is back", || posted("agent.online", &other.1) == 1).await;
    two.close().await;
    until("it is told that it is gone again", || posted("agent.offline", &other.1) == 2).await;

    let of = |agent: &str, action: &str| format!("/api/actions?agentId={agent}&action={action}");
    let some = |page: &Value| page["data"].as_array().unwrap().len() == 1;
    let muted = house.until("the mute", &of(&other.1, "agent.muted"), some).await;
    assert!(text(&muted["data"][0]["reason"]).starts_with("messages"), "{muted:#}");
    let cut = house.until("the cut", &of(&house.agent.1, "agent.disconnected"), some).await;
    assert!(text(&cut["data"][0]["reason"]).starts_with("identical"), "{cut:#}");
    let throttled = |page: &Value| page["data"][0]["projectId"] == house.project.as_str();
    house.until("the wait", "/api/actions?action=project.throttled", throttled).await;
}
