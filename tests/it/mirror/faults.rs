//! The fakes fail in every way: each message stands there once all the same.

use std::time::Duration;

use pipeline::{
    event::{MirrorStage, MirrorWork, TaskState},
    topics::Topic,
};
use serde_json::json;

use super::{Office, PROVIDERS, edit, place, post};

fn path(provider: &str) -> &'static str {
    match provider {
        "slack" => "chat.postMessage",
        _ => "comment",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_waited_for_and_costs_nothing() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        let headers = json!([["retry-after", "0.2"]]);
        office.provider.fault(json!({"provider": provider, "method": "POST", "path": path(provider), "times": 7,
            "status": 429, "headers": headers}));
        let posted = office.does(post(provider, "Hello.")).await;
        assert_eq!((posted.stage, office.said(provider).len()), (MirrorStage::Done, 1), "{provider}: {posted:?}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_came_is_looked_for() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        for (fault, case) in [
            (json!({"hang": true, "lands": true}), "it landed, and the answer hangs"),
            (json!({"hang": true}), "it did not land"),
            (json!({"status": 500, "lands": true}), "it landed, and the answer is an error"),
            (json!({"status": 502}), "an error, and it did not land"),
        ] {
            let mut fault = fault;
            for (name, value) in [
                ("provider", json!(provider)),
                ("method", json!("POST")),
                ("path", json!(path(provider))),
                ("times", json!(1)),
            ] {
                fault[name] = value;
            }
            office.provider.fault(fault);
            let before = office.said(provider).len();
            let posted = office.does(post(provider, case)).await;
            assert_eq!((posted.stage, posted.parts.len()), (MirrorStage::Done, 1), "{provider}: {case}: {posted:?}");
            let said = office.said(provider);
            assert_eq!(said.len(), before + 1, "{provider}: {case}: {said:?}");
        }
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_failed_is_made_again() {
    let mut office = Office::open().await;
    for provider in PROVIDERS {
        let posted = office.does(post(provider, "one")).await;
        office.provider.fault(json!({"provider": provider, "times": 1, "status": 500, "lands": true}));
        let edited = office.does(edit(provider, posted.parts, "two")).await;
        let said = office.said(provider);
        assert!(
            edited.stage == MirrorStage::Done && said.len() == 1 && said[0].contains("two"),
            "{provider}: {said:?}"
        );
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_may_have_landed_is_looked_at_and_not_repeated() {
    let mut office = Office::open().await;
    let (status, state) = (Some("complete".to_owned()), TaskState::Done);
    let work = MirrorWork::SetStatus { place: place("clickup"), status, state };
    office.provider.fault(json!({"provider": "clickup", "method": "PUT", "times": 1, "hang": true, "lands": true}));
    let moved = office.does(work.clone()).await;
    assert_eq!((moved.stage, moved.status.as_deref()), (MirrorStage::Done, Some("complete")));
    assert_eq!(office.provider.fakes.world().count("clickup", "PUT", "/api/v2/task"), 1);
    // It did not land, and somebody else moved the task meanwhile.
    office.provider.fault(json!({"provider": "clickup", "method": "PUT", "times": 1, "hang": true}));
    let id = office
        .ask(
            "lane",
            MirrorWork::SetStatus { place: place("clickup"), status: Some("to do".to_owned()), state: TaskState::Todo },
        )
        .await;
    office
        .until("the call", || {
            (office.provider.fakes.world().count("clickup", "PUT", "/api/v2/task") == 2).then_some(())
        })
        .await;
    {
        let mut world = office.provider.fakes.world();
        let now_ms = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let task = world.clickup_tasks.get_mut("t1").unwrap();
        fakes::clickup::change(task, &json!({"status": "blocked"}), now_ms).unwrap();
    }
    assert_eq!(office.end(&id).await.stage, MirrorStage::Uncertain);
    assert_eq!(office.provider.fakes.world().count("clickup", "PUT", "/api/v2/task"), 2);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_is_cut_again() {
    let mut office = Office::open().await;
    let too_long = json!({"provider": "slack", "path": "chat.postMessage", "times": 2, "status": 200,
        "body": {"ok": false, "error": "msg_blocks_too_long"}});
    office.provider.fault(too_long);
    let posted = office.does(post("slack", &"word ".repeat(1_200))).await;
    assert_eq!((posted.stage, posted.limit, posted.parts.len()), (MirrorStage::Done, Some(3_000), 3), "{posted:?}");
    assert_eq!(office.said("slack").len(), 3);
    assert!(office.said("slack").iter().all(|said| said.len() <= 3_000));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_put_away_and_others_go_on() {
    let mut office = Office::open().await;
    office.stop().await;
    office.start_with(|config| config.retries.attempts_max = 2);
    office.provider.fault(json!({"provider": "github", "method": "POST", "status": 500}));
    let failed = office.does(post("github", "poison")).await;
    assert_eq!((failed.stage, failed.code.as_deref()), (MirrorStage::Failed, Some("unavailable")), "{failed:?}");
    assert_eq!(office.log.records(Topic::DeadLetters).len(), 1);
    assert_eq!(office.does(post("clickup", "fine")).await.stage, MirrorStage::Done);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_costs_no_attempts_and_holds_up_no_other() {
    let mut office = Office::open().await;
    office.provider.fault(json!({"provider": "jira", "status": 503}));
    let mut waiting = Vec::new();
    for number in 0..6 {
        waiting.push(office.ask(&format!("jira/{number}"), post("jira", "later")).await);
    }
    assert_eq!(office.does(post("clickup", "now")).await.stage, MirrorStage::Done);
    let calls = || office.provider.fakes.world().count("jira", "POST", "/rest/api/3/issue");
    office.until("that it is left alone", || (calls() >= 5).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert!(calls() <= 12, "{} calls while it is down", calls());
    let is_open = |id: &String| office.results(id).iter().all(|result| result.stage == MirrorStage::Claimed);
    assert!(waiting.iter().all(is_open), "they wait");
    office.stop().await;
}
