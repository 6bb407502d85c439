//! What the samples and stories do not show: edges, provider by provider.

use serde_json::{Value, json};

use crate::{
    event::{ActorKind, EventType, Time, Webhook},
    inputs::normalize::{Draft, Rejected, Turn, on},
    ports::Position,
    topics::Topic,
};

fn webhook<'a>(provider: &'a str, body: &Value) -> Webhook<'a> {
    Webhook {
        tenant_id: "acme".into(),
        provider: provider.into(),
        connection_id: Some("con_1".into()),
        sender_id: None,
        delivery_id: None,
        received_at: Time(1_795_248_000_000),
        content_type: None,
        headers: Default::default(),
        nonce: None,
        reconciled: None,
        body: Some(body.to_string().into()),
        body_base64: None,
    }
}

fn with<'a>(mut webhook: Webhook<'a>, headers: &[(&'a str, &'a str)]) -> Webhook<'a> {
    webhook.headers.extend(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    webhook
}

fn all(webhook: &Webhook<'_>) -> Result<Vec<Draft>, Rejected> {
    let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 17 };
    on(webhook, &Turn { now_ms: 0, source, identity: 1, partitions: 1, outputs: &mut Vec::new() })
}

fn one(webhook: &Webhook<'_>) -> Draft {
    let mut drafts = all(webhook).expect("a request that can be read");
    assert_eq!(drafts.len(), 1);
    drafts.remove(0)
}

fn shares_a_mark(left: &Draft, right: &Draft) -> bool {
    left.marks.iter().any(|mark| right.marks.contains(mark))
}

fn slack(event: Value) -> Value {
    json!({ "type": "event_callback", "team_id": "T1", "event": event })
}

fn clickup(event: &str, field: &str, id: &str) -> Value {
    json!({
        "event": event, "webhook_id": "w1", "task_id": "t1",
        "history_items": [{ "id": id, "field": field, "parent_id": "901", "before": "a", "after": "b" }],
    })
}

#[test]
fn the_first_draft_has_the_id_that_the_door_foretells() {
    let draft = one(&webhook("slack", &slack(json!({ "type": "message", "ts": "1.0", "channel": "C1" }))));
    let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 17 };
    assert_eq!(draft.event.id, crate::turn::id_of(1, source, "evt", crate::inputs::normalize::NAME, 0));
}

#[test]
fn a_nonce_makes_a_repeat_another_event() {
    let mut request = webhook("clickup", &clickup("taskMoved", "section_moved", "9"));
    let first = one(&request);
    request.nonce = Some("again".into());
    assert!(!shares_a_mark(&first, &one(&request)));
}

#[test]
fn the_trace_is_the_senders_or_the_deliverys_or_the_places() {
    let body = json!({ "type": "x" });
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    assert_eq!(one(&with(webhook("shop", &body), &[("traceparent", &header)])).event.trace_id, trace);
    let delivered = one(&with(webhook("shop", &body), &[("webhook-id", "m1"), ("traceparent", "junk")]));
    assert_eq!(delivered.event.trace_id, one(&with(webhook("shop", &body), &[("webhook-id", "m1")])).event.trace_id);
    assert_ne!(delivered.event.trace_id, one(&webhook("shop", &body)).event.trace_id);
}

#[test]
fn an_absurd_date_is_replaced_by_the_time_of_receipt() {
    for date in [json!("9999999999999999"), json!(-1), json!("0"), json!("tomorrow"), json!({ "at": 1 }), json!(null)] {
        let mut body = clickup("taskUpdated", "name", "9");
        body["history_items"][0]["date"] = date.clone();
        assert_eq!(one(&webhook("clickup", &body)).event.occurred_at, Time(1_795_248_000_000), "{date}");
    }
}

#[test]
fn slack_tells_one_post_by_place_and_time_and_another_by_either() {
    let post = |kind: &str, subtype: Option<&str>, channel: &str, ts: &str| {
        one(&webhook("slack", &slack(json!({ "type": kind, "subtype": subtype, "channel": channel, "ts": ts }))))
    };
    let message = post("message", Some("file_share"), "C1", "1.0");
    assert!(shares_a_mark(&message, &post("app_mention", None, "C1", "1.0")));
    assert!(!shares_a_mark(&message, &post("message", None, "C1", "1.1")));
    assert!(!shares_a_mark(&message, &post("message", None, "C2", "1.0")));
}

#[test]
fn slack_keeps_what_its_fields_say_in_other_types() {
    let event = json!({ "type": "message", "text": null, "user": 7, "channel": { "id": "C1", "name": "c" }, "ts": "1700000000.1" });
    let event = one(&webhook("slack", &slack(event))).event;
    assert_eq!(event.kind, EventType::MessagePosted);
    assert_eq!(event.actor.and_then(|actor| actor.external_id).as_deref(), Some("7"));
    assert_eq!(event.project.and_then(|project| project.slack_channel_id).as_deref(), Some("C1"));
    assert_eq!(event.message.map(|message| message.text).as_deref(), Some(""));
    for event in [json!(null), json!("message"), json!([])] {
        assert!(all(&webhook("slack", &slack(event))).is_err());
    }
}

#[test]
fn names_are_called_by_words_and_not_by_code() {
    let said = |text: &str| {
        let event = one(&webhook("slack", &slack(json!({ "type": "message", "text": text })))).event;
        event.mentions.into_iter().map(|mention| mention.alias).collect::<Vec<_>>()
    };
    assert_eq!(said("_@AI_Squad_ and *@a_b-c.d*, <@U1|bo> `@decorator`"), ["@AI_Squad", "@a_b-c.d", "@bo"]);
    assert_eq!(said("<!subteam^S1|@night_shift> see <https://x.example/@y>"), ["@night_shift"]);
    let comment = json!({ "action": "created", "comment": { "body": "Use `@cache`, @AI_Squad" } });
    let event = one(&with(webhook("github", &comment), &[("x-github-event", "issue_comment")])).event;
    assert_eq!(event.mentions.len(), 1);
}

#[test]
fn slack_forms_are_commands_and_interactions() {
    let mut request = webhook("slack", &json!(null));
    request.content_type = Some("application/x-www-form-urlencoded; charset=utf-8".into());
    request.body = Some("command=%2Fask&text=the+squad&user_id=U1&channel_id=C1&team_id=T1".into());
    let event = one(&request).event;
    assert_eq!((event.kind, event.source.event.as_str()), (EventType::Other, "slash_command"));
    assert_eq!(event.message.map(|message| message.text).as_deref(), Some("/ask the squad"));
    request.body = Some("payload=%7B%22type%22%3A%22view_submission%22%7D".into());
    assert_eq!(one(&request).event.source.event, "view_submission");
    request.body = Some("payload=%7B".into());
    assert!(all(&request).is_err());
}

#[test]
fn clickup_tells_twins_from_neighbours() {
    let draft = |event: &str, field: &str, id: &str| one(&webhook("clickup", &clickup(event, field, id)));
    for (specific, field, kind) in [
        ("taskStatusUpdated", "status", EventType::WorkItemStatusChanged),
        ("taskPriorityUpdated", "priority", EventType::WorkItemUpdated),
        ("taskAssigneeUpdated", "assignee_rem", EventType::WorkItemUpdated),
        ("taskDueDateUpdated", "due_date", EventType::WorkItemUpdated),
        ("taskTagUpdated", "tag", EventType::WorkItemUpdated),
        ("taskMoved", "section_moved", EventType::WorkItemUpdated),
        ("taskTimeEstimateUpdated", "time_estimate", EventType::Other),
        ("taskTimeTrackedUpdated", "time_spent", EventType::Other),
        ("taskCreated", "task_creation", EventType::NewWorkItem),
    ] {
        let (own, generic) = (draft(specific, field, "9"), draft("taskUpdated", field, "9"));
        assert_eq!((own.event.kind, generic.event.kind), (kind, kind), "{specific}");
        assert!(shares_a_mark(&own, &generic), "{specific}");
        assert!(!shares_a_mark(&own, &draft("taskUpdated", field, "8")), "{specific}");
        assert!(!shares_a_mark(&own, &draft("taskUpdated", "name", "9")), "{specific}");
    }
    assert!(!shares_a_mark(&draft("taskPriorityUpdated", "x", "9"), &draft("taskDueDateUpdated", "x", "9")));
}

#[test]
fn clickup_tells_a_first_status_from_a_change() {
    let mut body = clickup("taskStatusUpdated", "status", "9");
    for first in [json!(null), json!({ "status": null, "type": "removed" })] {
        body["history_items"][0]["before"] = first;
        assert!(all(&webhook("clickup", &body)).expect("readable").is_empty());
    }
    body["history_items"][0]["before"] = json!({ "status": "to do" });
    assert_eq!(one(&webhook("clickup", &body)).event.changes[0].before, Some(json!("to do")));
    body["history_items"][0].as_object_mut().expect("an object").remove("before");
    assert_eq!(one(&webhook("clickup", &body)).event.kind, EventType::WorkItemStatusChanged);
}

#[test]
fn clickup_survives_history_of_any_shape() {
    for history in
        [json!({}), json!([null, 1, "x", {}]), json!("x"), json!([{ "user": [], "field": {}, "after": [[]] }])]
    {
        let body = json!({ "event": "taskUpdated", "task_id": 7, "webhook_id": null, "history_items": history });
        let event = one(&webhook("clickup", &body)).event;
        assert_eq!(event.task.and_then(|task| task.external_id).as_deref(), Some("7"), "{history}");
    }
}

#[test]
fn github_knows_every_row_of_the_table() {
    for (event, action, kind) in [
        ("issues", "opened", EventType::NewWorkItem),
        ("pull_request", "opened", EventType::NewWorkItem),
        ("issues", "labeled", EventType::WorkItemUpdated),
        ("issues", "typed", EventType::WorkItemUpdated),
        ("pull_request", "synchronize", EventType::WorkItemUpdated),
        ("issues", "closed", EventType::WorkItemStatusChanged),
        ("issues", "reopened", EventType::WorkItemStatusChanged),
        ("pull_request", "closed", EventType::WorkItemStatusChanged),
        ("pull_request", "merged", EventType::WorkItemStatusChanged),
        ("issues", "deleted", EventType::WorkItemDeleted),
        ("issues", "transferred", EventType::WorkItemDeleted),
        ("issue_comment", "created", EventType::CommentPosted),
        ("pull_request_review_comment", "created", EventType::CommentPosted),
        ("pull_request_review", "submitted", EventType::CommentPosted),
        ("discussion_comment", "created", EventType::CommentPosted),
        ("discussion_comment", "edited", EventType::CommentUpdated),
        ("issue_comment", "deleted", EventType::CommentDeleted),
        ("repository", "created", EventType::ProjectCreated),
        ("repository", "renamed", EventType::ProjectUpdated),
        ("repository", "archived", EventType::ProjectArchived),
        ("push", "", EventType::CodePushed),
        ("check_run", "completed", EventType::CheckCompleted),
        ("workflow_run", "completed", EventType::CheckCompleted),
        ("release", "published", EventType::ReleasePublished),
        ("ping", "", EventType::Other),
        ("issues\u{e9}", "opened", EventType::Other),
    ] {
        let draft = one(&with(webhook("github", &json!({ "action": action })), &[("x-github-event", event)]));
        assert_eq!(draft.event.kind, kind, "{event}.{action}");
    }
}

#[test]
fn github_is_guessed_without_its_header_and_survives_nulls() {
    let nobody = json!({ "action": "opened", "issue": { "number": 3, "user": null, "body": null }, "sender": null, "repository": null });
    let event = one(&webhook("github", &nobody)).event;
    assert_eq!((event.kind, event.source.event.as_str()), (EventType::NewWorkItem, "issues.opened"));
    assert!(event.actor.is_none());
}

#[test]
fn jira_comments_of_one_millisecond_are_two() {
    let comment = |event: &str, id: &str| {
        let body = json!({ "webhookEvent": event, "timestamp": 1_795_247_930_123_u64, "issue": { "id": 10, "key": "A-1" }, "comment": { "id": id } });
        one(&webhook("jira", &body))
    };
    assert!(!shares_a_mark(&comment("comment_created", "1"), &comment("comment_created", "2")));
    assert!(!shares_a_mark(&comment("comment_created", "1"), &comment("comment_deleted", "1")));
    assert!(shares_a_mark(&comment("comment_created", "1"), &comment("comment_created", "1")));
}

#[test]
fn jira_retries_keep_their_identifier() {
    let body = |at: u64| json!({ "webhookEvent": "jira:issue_updated", "timestamp": at, "issue": { "id": "10" } });
    let draft = |at| one(&with(webhook("jira", &body(at)), &[("x-atlassian-webhook-identifier", "i1")]));
    assert!(shares_a_mark(&draft(1_795_247_930_123), &draft(1_795_247_930_124)));
}

#[test]
fn jira_names_the_issue_of_a_server_comment_by_number() {
    let link = "https://jira.example/rest/api/2/issue/10013/comment/1";
    let body = json!({ "webhookEvent": "comment_created", "comment": { "id": "1", "self": link, "author": { "name": "bo" } } });
    let event = one(&webhook("jira", &body)).event;
    assert_eq!(event.task.and_then(|task| task.external_id).as_deref(), Some("10013"));
    assert_eq!(event.actor.map(|actor| actor.kind), Some(ActorKind::Human));
}

#[test]
fn a_batch_gives_each_event_an_id_of_its_own() {
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t" });
    let mut request = webhook("shop", &json!([event("1"), event("2"), event("1")]));
    request.content_type = Some("application/cloudevents-batch+json".into());
    let drafts = all(&request).expect("readable");
    assert_eq!(drafts.len(), 3);
    assert_ne!(drafts[0].event.id, drafts[2].event.id);
    assert_eq!(drafts[0].marks, drafts[2].marks);
    assert_ne!(drafts[0].marks, drafts[1].marks);
    request.body = Some(json!([event("1"), event("")]).to_string().into());
    assert!(all(&request).is_err());
}

#[test]
fn half_a_pair_is_mended_and_other_defects_are_named() {
    let mut request = webhook("slack", &json!(null));
    request.body = Some(r#"{"type":"event_callback","event":{"type":"message","text":"cut \ud83d"}}"#.into());
    assert_eq!(one(&request).event.message.map(|message| message.text).as_deref(), Some("cut \u{fffd}"));
    for (body, reason) in
        [("", "no JSON object"), ("{\"type\":", "EOF"), ("[]", "no JSON object"), ("{} {}", "trailing")]
    {
        request.body = Some(body.into());
        let rejected = all(&request).expect_err("no JSON object");
        assert!(rejected.reason.contains(reason), "{body}: {}", rejected.reason);
    }
    request.body = None;
    request.body_base64 = Some("//8=".into());
    assert!(all(&request).is_err_and(|rejected| rejected.reason.contains("UTF-8")));
}

#[test]
fn a_mark_of_ours_is_found_wherever_it_is() {
    let metadata = json!({ "event_type": "nexus_origin", "event_payload": { "id": "mir_1", "part": 2 } });
    let post = json!({
        "type": "message", "channel": "C1", "user": "U1", "text": "x", "ts": "1700000000.000100", "metadata": metadata,
    });
    let edit = json!({
        "type": "message", "subtype": "message_changed", "channel": "C1", "ts": "1700000001.000100",
        "message": post, "previous_message": { "text": "y", "ts": "1700000000.000100" },
    });
    let comment = json!({
        "event": "taskCommentPosted", "webhook_id": "w1", "task_id": "t1",
        "history_items": [{ "id": "1", "field": "comment", "comment": { "id": "7", "comment": [
            { "text": "x" }, { "text": "·", "attributes": { "link": "https://x.example#nexus-origin=mir_1.2" } },
        ] } }],
    });
    let issue = json!({
        "action": "created", "repository": { "full_name": "o/r" }, "issue": { "number": 1 },
        "comment": { "id": 7, "body": "x\n\n<!-- nexus-origin=mir_1.2 -->" },
    });
    let jira = json!({
        "webhookEvent": "comment_created", "timestamp": 1, "issue": { "id": "1", "key": "K-1" },
        "comment": { "id": "7", "body": "x [·|https://x.example#nexus-origin=mir_1.2]" },
    });
    for (provider, body) in
        [("slack", slack(post)), ("slack", slack(edit)), ("clickup", comment), ("github", issue), ("jira", jira)]
    {
        let message = one(&webhook(provider, &body)).event.message.expect("a message");
        assert_eq!(message.mark.as_deref(), Some("mir_1.2"), "{provider}");
    }
}

/// Whichever comes first is the event, the other its repeat.
#[test]
fn what_is_found_by_asking_is_known_from_its_webhook() {
    let of = |provider, body: &Value| one(&webhook(provider, body));
    let comment = |event: &str, history: Option<&str>, words: &str| {
        let mut item = json!({
            "field": "comment", "date": "1795248000000", "user": { "id": 1 },
            "comment": { "id": "c1", "text_content": words, "comment": [{ "text": words, "attributes": {} }] },
        });
        if let Some(history) = history {
            item["id"] = json!(history);
            item["comment"]["reactions"] = json!([]);
        }
        of("clickup", &json!({ "event": event, "webhook_id": "w1", "task_id": "t1", "history_items": [item] }))
    };
    for event in ["taskCommentPosted", "taskCommentUpdated"] {
        let told = comment(event, Some("481"), "hello\n");
        assert_eq!(told.thing, comment(event, None, "hello").thing, "{event}");
        assert_ne!(told.thing, comment(event, None, "other words").thing, "{event}");
        assert!(told.thing.is_some());
    }
    let gone = comment("taskCommentDeleted", None, "");
    assert_eq!(
        (gone.event.kind, gone.event.subject.clone().and_then(|subject| subject.external_id)),
        (EventType::CommentDeleted, Some("c1".to_owned()))
    );
    let task =
        json!({ "event": "taskCreated", "webhook_id": "w1", "task_id": "t1", "task": { "id": "t1", "name": "A" } });
    assert_eq!(of("clickup", &clickup("taskCreated", "task_creation", "481")).thing, of("clickup", &task).thing);

    let post = json!({ "type": "message", "channel": "C1", "user": "U1", "text": "now", "ts": "1.000001" });
    let mut read = post.clone();
    read["edited"] = json!({ "user": "U1", "ts": "9.000000" });
    let edit = |ts: &str, text: &str| {
        let mut now = read.clone();
        now["text"] = json!(text);
        let change =
            json!({ "type": "message", "subtype": "message_changed", "channel": "C1", "ts": ts, "message": now });
        of("slack", &slack(change))
    };
    let read_later = of("slack", &slack(read.clone()));
    assert!(shares_a_mark(&of("slack", &slack(post)), &read_later));
    assert!(shares_a_mark(&edit("8.000777", "now"), &read_later), "whoever reads it knows its last edit");
    assert!(shares_a_mark(&edit("8.000777", "now"), &edit("9.000000", "now")));
    assert!(!shares_a_mark(&edit("8.000777", "now"), &edit("8.000778", "then")), "two edits in one second");

    let github = |delivery: &str, body: &Value| {
        let mut webhook = webhook("github", body);
        if !delivery.is_empty() {
            webhook = with(webhook, &[("x-github-delivery", "guid-1")]);
        }
        one(&webhook)
    };
    let repository = json!({ "full_name": "o/r", "name": "r" });
    let issue = json!({ "action": "opened", "issue": { "number": 7 }, "repository": repository });
    let comment =
        json!({ "action": "created", "issue": { "number": 7 }, "comment": { "id": 9 }, "repository": repository });
    for body in [issue, comment] {
        let mut read = body.clone();
        read["sender"] = json!({ "login": "ada" });
        assert_eq!(github("guid-1", &body).thing, github("", &read).thing, "{body}");
    }
    let mut marked = webhook("slack", &slack(json!({ "type": "message", "channel": "C1", "text": "x", "ts": "1.2" })));
    marked.reconciled = Some(crate::event::Reconciled::History);
    assert!(one(&marked).event.is_history());
}
