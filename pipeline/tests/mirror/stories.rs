//! One thing at a time: what is decided, and what is not.

use pipeline::{
    event::{House, MirrorPlace, MirrorResult, MirrorStage, MirrorWork, Row, TaskState, Time},
    flow::Settings,
    topics::Topic,
};
use serde_json::{Value, json};

use super::hub::{Hub, in_thread, said};

#[test]
fn a_task_gets_its_thread_and_what_came_before_it_waits_in_order() {
    let mut hub = Hub::new();
    hub.comment(7, 1, "first");
    hub.task_created("t1");
    hub.pass(5_000);
    hub.comment(7, 2, "second");
    let root = hub.one();
    assert!(
        matches!(&root.work, MirrorWork::Post { place: MirrorPlace::Slack { thread_ts: None, .. }, .. }),
        "{root:?}"
    );
    hub.done(&root, &["1.0"]);
    // It was first heard of without its title.
    let mut seen = Vec::new();
    for number in 0..3 {
        let command = hub.one();
        seen.push(said(&command).to_owned());
        hub.done(&command, &[if seen[number].contains("Mend") { "1.0" } else { ["1.1", "1.2", "1.3"][number] }]);
    }
    assert_eq!(seen, ["**Mend it** (ClickUp)", "first", "second"]);
    assert!(hub.commanded().is_empty());
}

#[test]
fn without_a_token_nothing_is_commanded() {
    for provider in ["slack", "clickup"] {
        let mut hub = Hub::with_task();
        hub.connect(provider, json!({ "provider": provider, "ownIds": ["U0NEXUS", "500"] }));
        hub.comment(7, 1, "to Slack");
        hub.slack("U1", "1.1", "1.0", "to ClickUp");
        let places: Vec<_> = hub.commanded().iter().map(|command| command.connection_id.clone()).collect();
        assert!(!places.is_empty() && !places.contains(&format!("con_{provider}")), "{places:?}");
    }
}

#[test]
fn the_houses_tokens_serve_its_tenant_and_its_providers() {
    let commanded = |tenant: &str, providers: &[&str]| {
        let providers = providers.iter().map(|name| (*name).to_owned()).collect();
        let mut hub = Hub::of(Settings::default());
        let row = json!({
            "kind": House::KIND, "tenantId": tenant, "id": House::ID, "data": House { providers }, "at": Time::from_ms(0),
        });
        hub.put(Topic::Control, &format!("{tenant}/{}/{}", House::KIND, House::ID), &row);
        for provider in ["slack", "clickup"] {
            hub.connect(provider, json!({ "provider": provider, "ownIds": ["U0NEXUS", "500"] }));
        }
        hub.task_created("t1");
        // Its details, which only a token can ask for, do not come.
        hub.pass(5_000);
        hub.pass(1_000);
        hub.commanded().len()
    };
    assert_eq!(commanded("acme", &["slack", "clickup"]), 1, "the root message");
    assert_eq!(commanded("acme", &["slack"]), 1, "Slack's is enough for it");
    assert_eq!(commanded("acme", &["clickup"]), 0);
    assert_eq!(commanded("umbra", &["slack", "clickup"]), 0, "another tenant's house");
}

#[test]
fn a_filter_lets_pass_what_fits() {
    let text = |hub: &mut Hub| hub.commanded().first().map(|command| said(command).to_owned());
    for (filter, expected) in [
        (json!({ "keywords": ["#SYNC"] }), Some("now #sync")),
        (json!({ "authors": ["U2"] }), None),
        (json!({ "notAuthors": ["u1"] }), None),
        (json!({ "notKeywords": ["now"] }), None),
        (json!({ "metadata": { "/actor/kind": "human" } }), Some("now #sync")),
        (json!({ "metadata": { "/actor/kind": "bot" } }), None),
        (json!({ "authors": 3 }), None),
        (Value::Null, Some("now #sync")),
    ] {
        let mut hub = Hub::with_task();
        let filters = json!({ "mirror": filter, "other": 1 });
        let row = json!({ "provider": "slack", "sealedToken": "x", "ownIds": ["U0NEXUS"], "filters": filters });
        hub.connect("slack", row);
        hub.slack("U1", "1.1", "1.0", "now #sync");
        assert_eq!(text(&mut hub).as_deref(), expected, "{filters}");
    }
}

#[test]
fn many_words_of_an_agent_are_one_edit() {
    let mut hub = Hub::with_task();
    for number in 0..5 {
        hub.agent("message", json!({ "taskId": "t1", "text": format!("step {number}") }));
    }
    let commands = hub.commanded();
    let [slack, clickup] = &commands[..] else { panic!("one for each side: {commands:#?}") };
    assert_eq!((said(slack), said(clickup)), ("step 0", "step 0"));
    let MirrorWork::Post { author: Some(author), place, .. } = &slack.work else { panic!("{slack:?}") };
    assert_eq!((author.name.as_deref(), author.avatar.as_deref()), (Some("Rook"), Some("https://x.example/rook.png")));
    assert_eq!(*place, in_thread("1.0"));
    hub.done(slack, &["1.1"]);
    let edit = hub.one();
    assert!(matches!(&edit.work, MirrorWork::Edit { parts, .. } if parts[0].id == "1.1"), "{edit:?}");
    assert_eq!(said(&edit), "step 0\n\nstep 1\n\nstep 2\n\nstep 3\n\nstep 4");
    // Where somebody else has spoken meanwhile, it is a message of its own.
    hub.slack("U1", "1.2", "1.0", "what?");
    hub.agent("message", json!({ "taskId": "t1", "text": "an answer" }));
    assert!(hub.commanded().is_empty());
    hub.done(&edit, &["1.1"]);
    assert_eq!(said(&hub.one()), "an answer");
}

#[test]
fn edits_that_come_faster_than_they_can_be_made_are_one() {
    let mut hub = Hub::with_task();
    hub.comment(7, 1, "one");
    let post = hub.one();
    for text in ["two", "three", "four"] {
        let number = hub.next();
        let item = json!({
            "id": format!("88{number}"), "field": "comment", "parent_id": "901", "user": { "id": 7 },
            "comment": { "id": "1", "text_content": text },
        });
        let body =
            json!({ "event": "taskCommentUpdated", "webhook_id": "w1", "task_id": "t1", "history_items": [item] });
        hub.webhook("clickup", json!({}), &body);
    }
    assert!(hub.commanded().is_empty());
    hub.done(&post, &["1.1"]);
    let edit = hub.one();
    assert_eq!(said(&edit), "four");
    hub.done(&edit, &["1.1"]);
    assert!(hub.commanded().is_empty());
}

#[test]
fn an_agent_moves_a_task_at_its_provider_and_is_told_of_no_echo() {
    let mut hub = Hub::with_task();
    hub.agent("status_update", json!({ "taskId": "t1", "status": "IN_PROGRESS", "message": "on it" }));
    let commands = hub.commanded();
    let [set, notice] = &commands[..] else { panic!("{commands:#?}") };
    let MirrorWork::SetStatus { status, state, .. } = &set.work else { panic!("{set:?}") };
    assert_eq!((status.as_deref(), *state), (Some("doing"), TaskState::InProgress));
    assert!(said(notice).contains("**IN_PROGRESS**") && said(notice).ends_with("on it"), "{}", said(notice));
    hub.status("to do", "doing");
    assert_eq!(hub.last_event()["echo"], true);
    hub.done(set, &[]);
    assert_eq!(said(&hub.one()), "on it", "the words are a comment, too");
    hub.status("doing", "doing");
    assert!(hub.commanded().is_empty());
    hub.done(notice, &["1.1"]);
    // Somebody's own move is shown, and nothing is set.
    hub.status("doing", "waiting");
    assert!(hub.last_event().get("echo").is_none());
    assert!(said(&hub.one()).starts_with("status: doing → **waiting**"));
}

#[test]
fn a_status_that_cannot_be_set_is_taken_back() {
    let mut hub = Hub::with_task();
    hub.agent("status_update", json!({ "taskId": "t1", "status": "IN_PROGRESS" }));
    let commands = hub.commanded();
    hub.ended(&commands[0], MirrorStage::Failed, "refused");
    hub.done(&commands[1], &["1.1"]);
    assert!(said(&hub.one()).contains("could not be changed in ClickUp: refused"));
    assert_eq!(hub.partition.task_state("t1").as_deref(), Some("TODO"));
}

#[test]
fn a_status_is_never_set_twice() {
    let mut hub = Hub::with_task();
    hub.agent("status_update", json!({ "taskId": "t1", "status": "IN_PROGRESS" }));
    let commands = hub.commanded();
    hub.ended(&commands[0], MirrorStage::Uncertain, "unavailable");
    hub.pass(60_000);
    assert!(hub.commanded().iter().all(|command| !matches!(command.work, MirrorWork::SetStatus { .. })));
}

#[test]
fn a_copied_mark_makes_no_echo() {
    let mut hub = Hub::with_task();
    hub.slack("U1", "1.1", "1.0", "hello");
    let post = hub.one();
    hub.done(&post, &["55"]);
    let item = json!({
        "id": "88copy", "field": "comment", "parent_id": "901", "user": { "id": 7 },
        "comment": { "id": "56", "text_content": "hello", "comment": [
            { "text": "hello" }, { "text": "·", "attributes": { "link": format!("https://x.example#nexus-origin={}.1", post.id) } },
        ] },
    });
    let body = json!({ "event": "taskCommentPosted", "webhook_id": "w1", "task_id": "t1", "history_items": [item] });
    hub.webhook("clickup", json!({}), &body);
    assert_eq!(said(&hub.one()), "hello");
}

#[test]
fn words_in_a_thread_of_a_deleted_task_stay_there() {
    let mut hub = Hub::with_task();
    hub.webhook("clickup", json!({}), &json!({ "event": "taskDeleted", "webhook_id": "w1", "task_id": "t1" }));
    let notice = hub.one();
    assert_eq!(said(&notice), "task: **deleted**");
    hub.slack("U1", "1.1", "1.0", "hello?");
    let whisper = hub.one();
    assert_eq!(said(&whisper), "The task is gone from ClickUp: what you write here stays here.");
}

#[test]
fn an_issue_is_discussed_in_its_thread_and_back() {
    let mut hub = Hub::new();
    let issue = json!({ "number": 7, "title": "It breaks", "body": "*badly*", "state": "open", "html_url": "https://github.com/orchard/shop/issues/7" });
    let repository = json!({ "full_name": "orchard/shop", "name": "shop" });
    let body = json!({ "action": "opened", "issue": issue, "repository": repository, "sender": { "login": "ada" } });
    hub.webhook("github", json!({ "x-github-event": "issues", "x-github-delivery": "d1" }), &body);
    let root = hub.one();
    assert_eq!(said(&root), "**It breaks** (GitHub)\n_badly_");
    hub.done(&root, &["1.0"]);
    let comment = json!({ "id": 70, "body": "me too", "user": { "login": "bob" }, "html_url": "https://github.com/orchard/shop/issues/7#issuecomment-70" });
    let body = json!({ "action": "created", "issue": issue, "comment": comment, "repository": repository, "sender": { "login": "bob" } });
    hub.webhook("github", json!({ "x-github-event": "issue_comment", "x-github-delivery": "d2" }), &body);
    let reply = hub.one();
    assert_eq!(said(&reply), "me too");
    hub.done(&reply, &["1.1"]);
    hub.slack("U1", "1.2", "1.0", "same here");
    let back = hub.one();
    let MirrorWork::Post { place, .. } = &back.work else { panic!("{back:?}") };
    assert_eq!(*place, MirrorPlace::Github { repository: "orchard/shop".to_owned(), number: 7 });
    // Its echo, before the answer.
    let echo = json!({ "id": 71, "body": format!("same here\n\n<!-- nexus-origin={}.1 -->", back.id), "user": { "login": "nexus[bot]" } });
    let body = json!({ "action": "created", "issue": issue, "comment": echo, "repository": repository, "sender": { "login": "nexus[bot]", "type": "Bot" } });
    hub.webhook("github", json!({ "x-github-event": "issue_comment", "x-github-delivery": "d3" }), &body);
    assert_eq!(hub.last_event()["echo"], true);
    hub.done(&back, &["71"]);
    let gone = json!({ "action": "deleted", "issue": issue, "comment": comment, "repository": repository, "sender": { "login": "bob" } });
    hub.webhook("github", json!({ "x-github-event": "issue_comment", "x-github-delivery": "d4" }), &gone);
    assert!(matches!(hub.one().work, MirrorWork::Retract { parts, .. } if parts[0].id == "1.1"));
}

#[test]
fn jira_comments_go_both_ways() {
    let mut hub = Hub::new();
    let issue =
        json!({ "id": "10001", "key": "SHOP-1", "fields": { "summary": "Slow", "status": { "name": "To Do" } } });
    let body = json!({ "webhookEvent": "jira:issue_created", "timestamp": 1_795_248_000_000_u64, "issue": issue });
    hub.webhook("jira", json!({}), &body);
    let root = hub.one();
    hub.done(&root, &["1.0"]);
    hub.agent("message", json!({ "taskId": "SHOP-1", "text": "measured" }));
    let commands = hub.commanded();
    let places: Vec<_> = commands
        .iter()
        .map(|command| match &command.work {
            MirrorWork::Post { place, .. } => place.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [in_thread("1.0"), MirrorPlace::Jira { issue: "SHOP-1".to_owned() }]);
}

#[test]
fn a_new_list_gets_the_channel_that_its_workgroup_wants() {
    let mut hub = Hub::new();
    hub.row("workgroup", "wg_1", json!({ "name": "Squad", "clickupSpaceId": "s1", "onListCreated": "createChannel" }));
    hub.webhook("clickup", json!({}), &json!({ "event": "listCreated", "webhook_id": "w1", "list_id": "902" }));
    let asked = hub.partition.lookups.last().expect("a lookup")["id"].clone();
    let at = Time::from_ms(hub.now_ms);
    let found =
        json!({ "requestId": asked, "tenantId": "acme", "name": "Winter sale", "spaceExternalId": "s1", "at": at });
    hub.put(Topic::LookupsResults, "acme", &found);
    let command = hub.one();
    let MirrorWork::CreateChannel { name, external_id, workgroup_id, .. } = &command.work else {
        panic!("{command:?}")
    };
    assert_eq!((&**name, &**external_id, &**workgroup_id), ("Winter sale", "902", "wg_1"));
    let mut result = MirrorResult::of(&command, MirrorStage::Done, at);
    result.channel_id = Some("C9".to_owned());
    hub.result(&result);
    let candidate = hub.partition.state_of("acme/candidate/clickup:902").expect("a candidate");
    assert_eq!((&candidate["slackChannelId"], &candidate["workgroupId"]), (&json!("C9"), &json!("wg_1")));
}

#[test]
fn a_full_lane_says_so_once_and_takes_no_more() {
    let mut hub = Hub::with_task();
    for number in 0..1_010 {
        hub.comment(7, 100 + number, "words");
    }
    assert_eq!(hub.partition.mirrored().1, 1_000);
    let full: Vec<_> = hub.partition.alerts.iter().filter(|alert| alert["kind"] == "mirror.full").collect();
    assert_eq!(full.len(), 1);
}

#[test]
fn a_person_whose_token_is_used_is_heard() {
    let mut hub = Hub::with_task();
    hub.comment(500, 1, "by hand");
    assert_eq!(said(&hub.one()), "by hand");
    assert_eq!(hub.last_event()["actor"]["kind"], "human");
}
