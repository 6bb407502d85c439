//! Crashes between claim and call, and between call and confirm: once is once.

use std::time::Duration;

use pipeline::{
    event::{MirrorStage, MirrorWork, TaskState},
    topics::Topic,
};
use serde_json::json;

use super::{CHANNEL, Office, PROVIDERS, place, post, text};

/// How often a provider was asked to say something.
fn posts(office: &Office, provider: &str) -> usize {
    let world = office.provider.fakes.world();
    let is_it =
        |path: &str| if provider == "slack" { path.contains("chat.postMessage") } else { path.contains("comment") };
    world.calls.iter().filter(|made| made.provider == provider && made.method == "POST" && is_it(&made.path)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_call_and_confirm_repeats_nothing() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        // It is done; the answer is so late that the crash is before it.
        office.provider.fault(json!({"provider": provider, "method": "POST", "times": 1, "hang": true, "lands": true}));
        let id = office.ask("lane", post(provider, "Once.")).await;
        office.until("the message", || (!office.said(provider).is_empty()).then_some(())).await;
        office.crash().await;
        assert_eq!(office.results(&id).len(), 1, "{provider}: claimed, no end");
        office.start();
        let done = office.end(&id).await;
        assert_eq!((done.stage, done.parts.len()), (MirrorStage::Done, 1), "{provider}: {done:?}");
        assert_eq!((office.said(provider).len(), posts(&office, provider)), (1, 1), "{provider}");
        assert_eq!(done.thread_ts.is_some(), provider == "slack");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_claim_and_call_loses_nothing() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        // The call never arrives.
        office.provider.fault(json!({"provider": provider, "method": "POST", "times": 1, "hang": true}));
        let id = office.ask("lane", post(provider, "Once.")).await;
        office.until("the call", || (posts(&office, provider) == 1).then_some(())).await;
        office.crash().await;
        office.start();
        let done = office.end(&id).await;
        assert_eq!(done.stage, MirrorStage::Done, "{provider}: {done:?}");
        assert_eq!(office.said(provider).len(), 1, "{provider}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_not_durable_is_not_acted_upon() {
    let mut office = Office::open().await;
    office.stop().await;
    office.start_with(|config| config.mirror.slack_channel_ms = 3_000);
    assert_eq!(office.does(post("slack", "Once.")).await.stage, MirrorStage::Done);
    // The channel had its message of these three seconds: the next has to wait,
    // and is claimed when nothing that is written becomes durable.
    let id = office.ask("lane", post("slack", "Twice?")).await;
    office.log.hold();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!((office.results(&id).len(), posts(&office, "slack")), (0, 1), "no call without a claim");
    office.crash().await;
    office.start();
    assert_eq!(office.end(&id).await.stage, MirrorStage::Done);
    assert_eq!(office.said("slack"), ["Once.", "Twice?"]);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_of_a_long_text_are_finished_after_a_crash() {
    let mut office = Office::open().await;
    let id = office.ask("lane", post("slack", &"word ".repeat(6_000))).await;
    office.until("the first part", || (office.said("slack").len() == 1).then_some(())).await;
    office.crash().await;
    office.start();
    let done = office.end(&id).await;
    assert_eq!((done.stage, done.parts.len(), office.said("slack").len()), (MirrorStage::Done, 3, 3), "{done:?}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_look_for_is_uncertain_and_not_sent_again() {
    let mut office = Office::open().await;
    office
        .provider
        .fault(json!({"provider": "slack", "path": "chat.postEphemeral", "times": 1, "hang": true, "lands": true}));
    let whisper = MirrorWork::Whisper {
        channel_id: CHANNEL.to_owned(),
        thread_ts: None,
        user_id: "U0ADA".to_owned(),
        text: text("Only you see this."),
    };
    let whispered = office.does(whisper).await;
    assert_eq!(whispered.stage, MirrorStage::Uncertain, "{whispered:?}");
    assert_eq!(office.provider.fakes.world().count("slack", "POST", "/api/chat.postEphemeral"), 1);
    // Nor may we look.
    office.provider.fault(json!({"provider": "slack", "path": "conversations.", "status": 200,
        "body": {"ok": false, "error": "missing_scope"}}));
    office
        .provider
        .fault(json!({"provider": "slack", "path": "chat.postMessage", "times": 1, "hang": true, "lands": true}));
    assert_eq!(office.does(post("slack", "Once.")).await.stage, MirrorStage::Uncertain);
    assert_eq!(office.said("slack").len(), 1);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_made_after_a_crash_if_nobody_touched_the_task() {
    let mut office = Office::open().await;
    for provider in ["clickup", "github", "jira"] {
        let method = match provider {
            "clickup" => "PUT",
            "github" => "PATCH",
            _ => "POST",
        };
        office.provider.fault(json!({"provider": provider, "method": method, "times": 1, "hang": true}));
        let work = MirrorWork::SetStatus { place: place(provider), status: None, state: TaskState::Done };
        let id = office.ask("lane", work).await;
        office
            .until("the call", || (office.provider.fakes.world().count(provider, method, "") == 1).then_some(()))
            .await;
        office.crash().await;
        office.start();
        let done = office.end(&id).await;
        assert_eq!(done.stage, MirrorStage::Done, "{provider}: {done:?}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_ahead_of_the_group_is_not_done_again() {
    let mut office = Office::open().await;
    // The first waits for ever; those behind it are done.
    office.provider.fault(json!({"provider": "jira", "status": 503}));
    let first = office.ask("jira", post("jira", "waits")).await;
    let mut others = Vec::new();
    for number in 0..5 {
        others.push(office.ask(&format!("github/{number}"), post("github", &format!("number {number}"))).await);
    }
    for id in &others {
        assert_eq!(office.end(id).await.stage, MirrorStage::Done);
    }
    office.crash().await;
    office.start();
    office.provider.fakes.world().faults.clear();
    assert_eq!(office.end(&first).await.stage, MirrorStage::Done);
    assert_eq!(posts(&office, "github"), 5);
    assert!(others.iter().all(|id| office.results(id).len() == 2));
    office.stop().await;
    let lag = pipeline::ports::Log::lag(&office.log, mirror::GROUP, &[Topic::MirrorCommands]).await.unwrap();
    assert!(lag.iter().all(|lag| lag.group_offset.unwrap_or(lag.end_offset) == lag.end_offset), "{lag:?}");
}
