//! What webhooks did not tell is found, and nothing is told twice.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{House, TOKEN};
use crate::api::text;

const LIST: &str = "901200345678";
const CHANNEL: &str = "C0SHOPDEV1";

fn now_s() -> u64 {
    pipeline::ports::Clock::now_ms(&runtime::clock::SystemClock) / 1000
}

impl House {
    /// Ada writes in Slack, and Slack tells nobody.
    fn post(&self, ts: &str, more: Value) -> Value {
        let mut message = json!({
            "type": "message", "channel": CHANNEL, "user": "U0ADA", "team": "T0ORCHARD1", "text": format!("words of {ts}"), "ts": ts,
        });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.provider.fakes.world().slack_messages.put(&format!("{CHANNEL} {ts}"), message.clone());
        message
    }

    fn clickup_task(&self, id: &str) {
        let body = json!({ "id": id, "name": format!("Task {id}") });
        fakes::clickup::new_task(&mut self.provider.fakes.world(), LIST, &body, now_s() * 1000).unwrap();
    }

    /// Changes a row behind the hub's back.
    async fn change_rows(&self, sql: &'static str) {
        let file = self.api.hub.directory.path().join("nexus.db");
        let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
        assert_eq!(sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    }

    fn clickup_comment(&self, task: &str, words: &str) -> Value {
        let ada = fakes::clickup::ada();
        let mut world = self.provider.fakes.world();
        fakes::clickup::new_comment(&mut world, task, words, &ada, now_s() * 1000).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clickups_tasks_comments_edits_states_and_deletions_are_found() {
    let house = House::open().await;
    let id = house.connection("clickup", json!({})).await;
    house.make("/api/projects", json!({ "name": "Shop", "clickupListId": LIST })).await;
    house
        .until("the webhook", || async { house.provider.fakes.world().clickup_webhooks.all().next().map(|_| ()) })
        .await;
    // One that is told of, others that are not.
    house.clickup_task("t1");
    let told = house.clickup_comment("t1", "told");
    house
        .clickup_says(json!({ "event": "taskCreated", "task_id": "t1", "history_items": [
        { "id": "4810001", "field": "task_creation", "parent_id": LIST, "date": told["date"] },
    ] }))
        .await;
    house
        .clickup_says(json!({ "event": "taskCommentPosted", "task_id": "t1", "history_items": [
        { "id": "4810002", "field": "comment", "parent_id": LIST, "date": told["date"], "user": told["user"],
          "comment": { "id": told["id"], "text_content": "told", "comment": [{ "text": "told" }] } },
    ] }))
        .await;
    // Its task is held until its details are there: so long nobody knows it.
    house.one("NewWorkItem", "t1").await;
    house.one("CommentPosted", &text(&told["id"])).await;
    let missed = house.clickup_comment("t1", "missed");
    house.clickup_task("t2");
    let other = house.clickup_comment("t2", "also missed");
    let job = house.backfill(&id, json!({})).await;
    assert_eq!((&job["status"], &job["fed"]), (&json!("done"), &json!(3)), "{job}");
    for (kind, subject) in
        [("CommentPosted", &missed["id"]), ("NewWorkItem", &json!("t2")), ("CommentPosted", &other["id"])]
    {
        let event = house.one(kind, &text(subject)).await;
        assert_eq!((&event["reconciled"], &event["source"]["provider"]), (&json!("missed"), &json!("clickup")));
    }
    assert_eq!(house.one("CommentPosted", &text(&missed["id"])).await["message"]["text"], "missed");
    assert_eq!(house.about("NewWorkItem", "t1").await.len(), 1);
    // A webhook that comes after all is a repeat.
    house
        .clickup_says(json!({ "event": "taskCommentPosted", "task_id": "t1", "history_items": [
        { "id": "4810003", "field": "comment", "parent_id": LIST, "date": missed["date"], "user": missed["user"],
          "comment": { "id": missed["id"], "text_content": "missed", "comment": [{ "text": "missed" }] } },
    ] }))
        .await;
    assert_eq!(house.backfill(&id, json!({})).await["fed"], 0, "nothing is new");
    assert_eq!(house.about("CommentPosted", &text(&missed["id"])).await.len(), 1);
    // An edit, a move and a deletion of which nobody heard.
    {
        let mut world = house.provider.fakes.world();
        let comment = world.clickup_comments.get_mut(&text(&other["id"])).unwrap();
        (comment["comment_text"], comment["comment"]) = (json!("put otherwise"), json!([{ "text": "put otherwise" }]));
        world.clickup_comments.take(&text(&told["id"]));
        let now_ms = now_s() * 1000 + 999;
        fakes::clickup::change(world.clickup_tasks.get_mut("t2").unwrap(), &json!({ "status": "complete" }), now_ms)
            .unwrap();
    }
    let job = house.backfill(&id, json!({})).await;
    assert_eq!((&job["status"], &job["fed"]), (&json!("done"), &json!(3)), "{job}");
    assert_eq!(house.one("CommentUpdated", &text(&other["id"])).await["message"]["text"], "put otherwise");
    house.one("CommentDeleted", &text(&told["id"])).await;
    let moved = house.one("WorkItemStatusChanged", "t2").await;
    assert_eq!(moved["changes"][0]["before"], "to do", "{moved}");
    assert_eq!(moved["task"]["state"], "DONE");
    house
        .until("the row of it", || async {
            let tasks = house.get("/api/tasks?state=DONE").await;
            (tasks["data"].as_array().unwrap().len() == 1).then_some(())
        })
        .await;
    assert_eq!(house.backfill(&id, json!({})).await["fed"], 0, "nothing is new");
    house.keeps_secrets(&[TOKEN]).await;
}

/// The rows of tasks follow the log at a distance, and a backfill must not
/// judge by one that is not there yet, or that is older than what was published.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_judged_by_the_log_however_far_its_row_lags_behind() {
    let house = House::open().await;
    let id = house.connection("clickup", json!({})).await;
    house.make("/api/projects", json!({ "name": "Shop", "clickupListId": LIST })).await;
    house
        .until("the webhook", || async { house.provider.fakes.world().clickup_webhooks.all().next().map(|_| ()) })
        .await;
    house.clickup_task("t1");
    assert_eq!(house.backfill(&id, json!({})).await["fed"], 1);
    house.one("NewWorkItem", "t1").await;
    let shown = |state: &'static str| {
        let house = &house;
        house.until("its row", move || async move {
            let tasks = house.get(&format!("/api/tasks?state={state}")).await;
            (tasks["data"].as_array().unwrap().len() == 1).then_some(())
        })
    };
    shown("TODO").await;
    house.change_rows("DELETE FROM tasks WHERE external_id = 't1'").await;
    fakes::clickup::change(
        house.provider.fakes.world().clickup_tasks.get_mut("t1").unwrap(),
        &json!({ "status": "complete" }),
        now_s() * 1000 + 999,
    )
    .unwrap();
    let job = house.backfill(&id, json!({})).await;
    assert_eq!((&job["status"], &job["fed"]), (&json!("done"), &json!(1)), "{job}");
    let moved = house.one("WorkItemStatusChanged", "t1").await;
    assert_eq!((&moved["changes"][0]["before"], &moved["task"]["state"]), (&json!("to do"), &json!("DONE")));
    shown("DONE").await;
    let older = r#"UPDATE tasks SET data = replace(data, '"status":"complete"', '"status":"to do"')"#;
    house.change_rows(older).await;
    assert_eq!(house.backfill(&id, json!({})).await["fed"], 0, "the move was published");
    assert_eq!(house.about("WorkItemStatusChanged", "t1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_comments_are_found_without_anybody_asking() {
    let house = House::open_with(|config| config.upkeep.reconcile_interval_ms = 100).await;
    house.connection("clickup", json!({})).await;
    house.make("/api/projects", json!({ "name": "Shop", "clickupListId": LIST })).await;
    house
        .until("the webhook", || async { house.provider.fakes.world().clickup_webhooks.all().next().map(|_| ()) })
        .await;
    house.clickup_task("t1");
    let comment = house.clickup_comment("t1", "soon gone");
    house
        .clickup_says(json!({ "event": "taskCommentPosted", "task_id": "t1", "history_items": [
        { "id": "4810002", "field": "comment", "parent_id": LIST, "date": comment["date"], "user": comment["user"],
          "comment": { "id": comment["id"], "text_content": "soon gone", "comment": [{ "text": "soon gone" }] } },
    ] }))
        .await;
    house.one("CommentPosted", &text(&comment["id"])).await;
    house.provider.fakes.world().clickup_comments.take(&text(&comment["id"]));
    let deleted = house.one("CommentDeleted", &text(&comment["id"])).await;
    assert_eq!((&deleted["task"]["externalId"], &deleted["reconciled"]), (&json!("t1"), &json!("missed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn slacks_messages_replies_and_edits_are_found_through_every_fault() {
    let house = House::open().await;
    let id = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    house.make("/api/projects", json!({ "name": "Shop", "slackChannelId": CHANNEL })).await;
    let ts = |number: u64| format!("{}.{number:06}", now_s() - 3_600 + number);
    let (root, reply, told, changed, old) = (ts(1), ts(2), ts(3), ts(4), format!("{}.000009", now_s() - 90_000));
    house.post(&root, json!({}));
    house.post(&reply, json!({ "thread_ts": root }));
    house.post(&old, json!({}));
    house.slack_says("Ev1", house.post(&told, json!({}))).await;
    house.slack_says("Ev2", house.post(&changed, json!({}))).await;
    house.one("MessagePosted", &changed).await;
    let edited = json!({ "text": "other words", "edited": { "user": "U0ADA", "ts": format!("{}.000000", now_s()) } });
    let now = house.post(&changed, edited);
    for fault in [
        json!({ "provider": "slack", "path": "conversations.history", "status": 429, "headers": [["retry-after", "1"]], "times": 1 }),
        json!({ "provider": "slack", "path": "conversations.replies", "status": 500, "times": 1 }),
    ] {
        house.provider.fault(fault);
    }
    let job = house.backfill(&id, json!({})).await;
    assert_eq!((&job["status"], &job["fed"]), (&json!("done"), &json!(3)), "{job}");
    let found = house.one("MessagePosted", &reply).await;
    assert_eq!((&found["reconciled"], &found["message"]["threadTs"]), (&json!("missed"), &json!(root)));
    house.one("MessagePosted", &root).await;
    assert_eq!(house.one("MessageChanged", &changed).await["message"]["text"], "other words");
    assert!(house.about("MessagePosted", &old).await.is_empty(), "it is older than what was asked for");
    // What comes after all is known: the post, and the edit.
    house.slack_says("Ev3", house.post(&root, json!({}))).await;
    let change = json!({
        "type": "message", "subtype": "message_changed", "hidden": true, "channel": CHANNEL, "ts": format!("{}.000777", now_s()),
        "message": now, "previous_message": { "ts": changed, "text": "words" },
    });
    house.slack_says("Ev4", change).await;
    assert_eq!(house.about("MessagePosted", &root).await.len(), 1);
    assert_eq!(house.about("MessageChanged", &changed).await.len(), 1);
    assert_eq!(house.backfill(&id, json!({})).await["fed"], 0);
    let longer =
        house.backfill(&id, json!({ "from": udfs::time::to_rfc3339((now_s() as i64 - 100_000) * 1000) })).await;
    assert_eq!(longer["fed"], 1, "{longer}");
    house.one("MessagePosted", &old).await;
    // The same page for ever ends as a failure, not as a loop.
    let page = json!({ "ok": true, "messages": [], "has_more": true, "response_metadata": { "next_cursor": "same" } });
    house.provider.fault(json!({ "provider": "slack", "path": "conversations.history", "status": 200, "body": page }));
    let job = house.backfill(&id, json!({})).await;
    assert_eq!(job["status"], "failed", "{job}");
    assert!(text(&job["detail"]).contains("same page token"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn githubs_deliveries_that_failed_are_fed_in_as_they_were() {
    let house = House::open().await;
    let id = house.connection("github", json!({ "externalId": "orchard/shop" })).await;
    house.make("/api/projects", json!({ "name": "Shop", "githubRepository": "orchard/shop" })).await;
    house.until("the hook", || async { house.provider.fakes.world().github_hooks.all().next().map(|_| ()) }).await;
    let hook = house.provider.fakes.world().github_hooks.all().next().unwrap().clone();
    let secret = text(&hook["config"]["secret"]);
    let body = |number: u64| {
        json!({
            "action": "opened", "issue": { "number": number, "title": format!("Issue {number}"), "state": "open" },
            "repository": { "full_name": "orchard/shop", "name": "shop" }, "sender": { "login": "ada", "type": "User" },
        })
    };
    let at = udfs::time::to_rfc3339(now_s() as i64 * 1000);
    {
        let mut world = house.provider.fakes.world();
        for (number, status) in [(1, 200), (2, 502)] {
            let row = json!({
                "id": number, "guid": format!("guid-{number}"), "hook": format!("orchard/shop {}", hook["id"]), "event": "issues",
                "action": "opened", "status_code": status, "delivered_at": at, "redelivery": false,
                "request": { "headers": {}, "payload": body(number) },
            });
            world.github_deliveries.put(&number.to_string(), row);
        }
        let comment = json!({
            "id": 9, "body": "a comment", "user": { "login": "ada", "type": "User" }, "created_at": at, "updated_at": at,
            "author_association": "MEMBER", "issue_url": "https://api.github.com/repos/orchard/shop/issues/1",
            "html_url": "https://github.com/orchard/shop/issues/1#issuecomment-9",
        });
        world.github_comments.put("orchard/shop 9", comment);
    }
    house
        .until("its secret", || async {
            (house.github_says(&secret, "issues", "guid-1", &body(1)).await.status == StatusCode::OK).then_some(())
        })
        .await;
    house.one("NewWorkItem", "orchard/shop#1").await;
    let job = house.backfill(&id, json!({})).await;
    assert_eq!((&job["status"], &job["fed"]), (&json!("done"), &json!(2)), "{job}");
    let found = house.one("NewWorkItem", "orchard/shop#2").await;
    assert_eq!((&found["reconciled"], &found["source"]["deliveryId"]), (&json!("missed"), &json!("guid-2")));
    assert_eq!(house.one("CommentPosted", "9").await["task"]["externalId"], "orchard/shop#1");
    // Somebody asks GitHub to deliver it again; and the comment comes late.
    house.github_says(&secret, "issues", "guid-2", &body(2)).await;
    let late = json!({
        "action": "created", "issue": { "number": 1 }, "comment": { "id": 9, "body": "a comment", "user": { "login": "ada" } },
        "repository": { "full_name": "orchard/shop", "name": "shop" }, "sender": { "login": "ada", "type": "User" },
    });
    house.github_says(&secret, "issue_comment", "guid-3", &late).await;
    assert_eq!(house.about("NewWorkItem", "orchard/shop#2").await.len(), 1);
    assert_eq!(house.about("CommentPosted", "9").await.len(), 1);
}

/// What was said before anybody mapped the channel is to be found, not to wake
/// anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_channel_brings_its_history_quietly() {
    let house = House::open_with(|config| config.upkeep.history_days = 30).await;
    house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    let agent = house.make("/api/agents", json!({ "name": "builder" })).await;
    let old = format!("{}.000001", now_s() - 5 * 86_400);
    house.post(&old, json!({ "text": "@builder please wake up" }));
    house.make("/api/projects", json!({ "name": "Shop", "slackChannelId": CHANNEL })).await;
    let event = house.one("MessagePosted", &old).await;
    assert_eq!((&event["reconciled"], &event["project"]["slackChannelId"]), (&json!("history"), &json!(CHANNEL)));
    // The same words today do wake the agent, and nothing was told before.
    let new = format!("{}.000002", now_s());
    house.slack_says("Ev1", house.post(&new, json!({ "text": "@builder please wake up" }))).await;
    house.one("MessagePosted", &new).await;
    let letters = house.api.hub.values(pipeline::topics::Topic::AgentsInbox, 1).await;
    let to = |letter: &&Value| letter["to"][0]["agentId"] == agent["id"];
    let subjects: Vec<_> =
        letters.iter().filter(to).map(|letter| letter["event"]["subject"]["externalId"].clone()).collect();
    assert_eq!(subjects, [json!(new)]);
    let jobs = house.get("/api/backfills").await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    let job = house.job(&text(&jobs["data"][0]["id"])).await;
    assert_eq!((&job["kind"], &job["status"]), (&json!("history"), &json!("done")), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_its_tenants_and_what_is_asked_is_checked() {
    let house = House::open().await;
    let id = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    let path = format!("/api/connections/{id}/backfill");
    let job = house.backfill(&id, json!({})).await;
    let (_, umbra) = house.api.client_of("umbra", "admin").await;
    assert_eq!(house.api.ask("POST", &path, &umbra, Some(json!({}))).await.status, StatusCode::NOT_FOUND);
    let shown = format!("/api/backfills/{}", text(&job["id"]));
    assert_eq!(house.api.ask("GET", &shown, &umbra, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.api.ask("GET", "/api/backfills", &umbra, None).await.json()["data"], json!([]));
    for (body, status) in [
        (json!({ "from": "2999-01-01T00:00:00Z" }), 422),
        (json!({ "from": "yesterday" }), 400),
        (json!({ "projectId": "prj_nobody" }), 422),
        (json!({ "what": 1 }), 400),
    ] {
        let answer = house.ask("POST", &path, Some(body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
    }
    let jira = house.connection("jira", json!({ "externalId": "orchard.example" })).await;
    let refused = house.ask("POST", &format!("/api/connections/{jira}/backfill"), None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("unsupported")));
}
