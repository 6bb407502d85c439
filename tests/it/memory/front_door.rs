//! From a message in Slack to an answer of the API.

use std::time::{Duration, Instant};

use pipeline::{event::MemoryResult, topics::Topic};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{CHANNEL, SECRET_CHANNEL, World, all};
use crate::{api::text, hub::PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_found_until_it_is_taken_back() {
    let world = World::start().await;
    let root = "1795000000.000100";
    world.said(CHANNEL, root, None, "U0MARA", "Which fuel does the second stage burn?").await;
    world.said(CHANNEL, "1795000001.000100", Some(root), "U0JO", "We decided: methane for the second stage.").await;
    world.said(SECRET_CHANNEL, "1795000002.000100", None, "U0EVE", "The second stage burns money.").await;
    let took = world.until("second stage fuel", |found| found.len() == 2).await;
    assert!(took < Duration::from_secs(5), "{took:?}");

    let rows =
        world.search(&world.agent_token, json!({ "query": "methane", "projectId": world.project, "limit": 1 })).await;
    assert_eq!(rows.len(), 1);
    let metadata = &rows[0]["metadata"];
    assert_eq!(
        (&metadata["threadTs"], &metadata["author"], &metadata["kind"]),
        (&json!(root), &json!("U0JO"), &json!("message"))
    );
    assert_eq!((&metadata["projectId"], &rows[0]["score"]), (&json!(world.project), &json!(1.0)));
    let hidden = world
        .api
        .ask(
            "POST",
            "/api/memory/search",
            &world.agent_token,
            Some(json!({ "query": "money", "projectId": world.secret_project })),
        )
        .await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND, "another workgroup's project is not there for an agent");

    let path = format!("/api/threads/{CHANNEL}/{root}");
    let page = world.api.ask("GET", &format!("{path}?limit=1"), &world.agent_token, None).await.json();
    assert_eq!(text(&page["data"][0]["text"]), "Which fuel does the second stage burn?");
    let next = text(&page["page"]["next"]);
    let page = world.api.ask("GET", &format!("{path}?limit=1&cursor={next}"), &world.agent_token, None).await.json();
    assert_eq!(text(&page["data"][0]["author"]), "U0JO");
    assert_eq!(page["page"]["next"], Value::Null);
    let secret = format!("/api/threads/{SECRET_CHANNEL}/1795000002.000100");
    let secret = world.api.ask("GET", &secret, &world.agent_token, None).await;
    assert_eq!(secret.status, StatusCode::NOT_FOUND);
    let summary = world.api.ask("GET", &format!("{path}/summary"), &world.agent_token, None).await.json();
    assert!(text(&summary["data"]["text"]).contains("Decisions:\n- U0JO: We decided: methane"), "{summary}");
    assert_eq!(summary["data"]["kept"], false);

    let edited = json!({ "type": "message", "subtype": "message_changed", "channel": CHANNEL, "ts": "1795000003.000100",
        "event_ts": "1795000003.000100", "message": { "type": "message", "user": "U0JO", "ts": "1795000001.000100",
        "thread_ts": root, "text": "We decided: hydrogen for the second stage.", "edited": { "user": "U0JO", "ts": "1795000003.000000" } },
        "previous_message": { "type": "message", "user": "U0JO", "ts": "1795000001.000100", "thread_ts": root,
        "text": "We decided: methane for the second stage." } });
    world.slack(&edited).await;
    world.until("hydrogen", |found| found.iter().any(|text| text.contains("hydrogen"))).await;
    assert!(world.found(&world.admin, &world.project, "methane").await.iter().all(|text| !text.contains("methane")));

    let gone = world.api.ask("DELETE", &format!("/api/memory?threadTs={root}"), &world.admin, None).await;
    assert_eq!(gone.status, StatusCode::ACCEPTED, "{}", gone.text);
    world.until("second stage", |found| found.is_empty()).await;
    // What is written of it goes right behind what it is found by.
    let begun = Instant::now();
    while world.api.ask("GET", &path, &world.admin, None).await.status != StatusCode::NOT_FOUND {
        assert!(begun.elapsed() < PATIENCE, "the thread stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let kept = world.found(&world.admin, &world.secret_project, "second stage").await;
    assert_eq!(kept, ["The second stage burns money."]);
    world.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_found_by_their_parts_and_replaced_whole() {
    let world = World::start().await;
    let filler = "Nothing of interest stands here, and it goes on for a while. ".repeat(40);
    let body = |end: &str| json!({ "projectId": world.project, "id": "runbook", "title": "Runbook", "text": format!("{filler}\n\n{end}") });
    let add = |end: &'static str| world.api.ask("POST", "/api/memory/documents", &world.admin, Some(body(end)));
    let added = add("Turn the turbopump off before noon.").await;
    assert_eq!(added.status, StatusCode::ACCEPTED, "{}", added.text);
    world.until("turbopump", |found| found.first().is_some_and(|text| text.contains("turbopump"))).await;
    add("Turn the compressor off before noon.").await;
    world.until("compressor", |found| found.first().is_some_and(|text| text.contains("compressor"))).await;
    assert!(
        world.found(&world.admin, &world.project, "turbopump").await.iter().all(|text| !text.contains("turbopump"))
    );
    let foreign = json!({ "projectId": world.secret_project, "text": "mine" });
    let foreign = world.api.ask("POST", "/api/memory/documents", &world.agent_token, Some(foreign)).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

/// How long it takes from a message to where it is found, for a hundred of them
/// at about forty a second.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_found_within_five_seconds() {
    const MESSAGES: usize = 100;
    let world = World::start().await;
    let everything = json!({ "query": "zulu", "projectId": world.project, "limit": MESSAGES });
    let (mut said, mut took) = (Vec::new(), vec![None; MESSAGES]);
    while took.iter().any(Option::is_none) {
        if said.len() < MESSAGES {
            let number = said.len();
            said.push(Instant::now());
            let text = format!("zulu number {number}");
            world.said(CHANNEL, &format!("1795200{number:03}.000100"), None, "U0MARA", &text).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for hit in world.search(&world.admin, everything.clone()).await {
            let number: usize = text(&hit["text"]).rsplit(' ').next().unwrap().parse().unwrap();
            took[number].get_or_insert_with(|| said[number].elapsed());
        }
        assert!(said[0].elapsed() < PATIENCE, "{took:?}");
    }
    let mut took: Vec<Duration> = took.into_iter().flatten().collect();
    took.sort();
    println!("from message to found: p50 {:?}, p99 {:?}", took[MESSAGES / 2], took[MESSAGES * 99 / 100]);
    assert!(took[MESSAGES * 99 / 100] < Duration::from_secs(5), "{took:?}");
}

/// A thread of 120 messages has two summaries, announced and kept, although the
/// hub is begun anew in between.
#[tokio::test(flavor = "multi_thread")]
async fn every_fifty_messages_of_a_thread_are_summed_up() {
    let mut world = World::start().await;
    let root = "1795000000.000100";
    world.append(Topic::Commands, &json!({ "kind": "trackTask", "tenantId": "acme", "at": "2026-11-21T08:00:00.000Z",
        "correlationId": "c1", "projectId": world.project, "provider": "clickup", "externalId": "86aa", "threadTs": root,
        "title": "Fuel" })).await;
    for number in 0..120 {
        if number == 60 {
            world.api.hub.restart().await;
        }
        let text = match number {
            20 => "We decided to fly on Thursday.",
            90 => "Who books the range for the static fire?",
            _ => "Measured the valve once more, nothing new.",
        };
        world.said(CHANNEL, &format!("17951{number:05}.000100"), Some(root), "U0MARA", text).await;
    }
    let begun = Instant::now();
    let summaries = loop {
        let results = all::<MemoryResult>(&*world.api.hub.log(), Topic::MemoryResults).await;
        let summaries: Vec<_> = results
            .into_iter()
            .filter_map(|result| match result {
                MemoryResult::Summarised { summary, .. } => Some(summary),
                _ => None,
            })
            .collect();
        if summaries.len() >= 2 {
            break summaries;
        }
        assert!(begun.elapsed() < PATIENCE, "{summaries:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(summaries.iter().map(|summary| summary.through).collect::<Vec<_>>(), [50, 100]);
    assert!(summaries[0].text.contains("U0MARA: We decided to fly on Thursday."), "{}", summaries[0].text);
    assert!(summaries[1].text.contains("We decided to fly on Thursday."), "it rolls: {}", summaries[1].text);
    assert!(summaries[1].text.contains("Open questions:\n- U0MARA: Who books the range"), "{}", summaries[1].text);
    let path = format!("/api/threads/{CHANNEL}/{root}/summary");
    let kept = loop {
        let kept = world.api.ask("GET", &path, &world.agent_token, None).await;
        if kept.json()["data"]["kept"] == true {
            break kept.json();
        }
        assert!(begun.elapsed() < PATIENCE, "{}", kept.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(kept["data"]["through"], 100);
    // The last twenty are learnt a moment later.
    let fresh = loop {
        let fresh = world.api.ask("GET", &format!("{path}?fresh=true"), &world.agent_token, None).await.json();
        if fresh["data"]["through"] == 120 {
            break fresh;
        }
        assert!(begun.elapsed() < PATIENCE, "{fresh}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(fresh["data"]["kept"], false);
    loop {
        let events = all::<Value>(&*world.api.hub.log(), Topic::Events).await;
        let made: Vec<_> = events.iter().filter(|event| event["type"] == "SummaryCreated").collect();
        if made.len() >= 2 {
            assert_eq!(made.len(), 2);
            assert_eq!(made[1]["message"]["threadSeq"], 100);
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{made:?}");
    }
}
