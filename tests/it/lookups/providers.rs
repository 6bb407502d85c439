//! The fakes themselves, asked as the real providers are.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::hub::{Hub, SECRET, client},
    Provider,
};

struct Asker {
    provider: Provider,
    client: reqwest::Client,
}

impl Asker {
    async fn start() -> Asker {
        Asker { provider: Provider::start().await, client: client() }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.provider.url));
        request = request.header("authorization", "Bearer token-1");
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, Value::Null).await.1
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, body).await.1
    }
}

#[tokio::test]
async fn clickup_keeps_tasks_and_comments_and_its_limit() {
    let asker = Asker::start().await;
    let list = "/clickup/api/v2/list/901200345678";
    let task = asker.post(&format!("{list}/task"), json!({"name": "First"})).await;
    let path = format!("/clickup/api/v2/task/{}", task["id"].as_str().unwrap());
    let moved = asker.ask(Method::PUT, &path, json!({"status": "In Progress"})).await.1;
    assert_eq!(
        moved["status"],
        json!({"status": "in progress", "color": "#87909e", "orderindex": 1, "type": "custom"})
    );
    let (status, refused) = asker.ask(Method::PUT, &path, json!({"status": "no such"})).await;
    assert_eq!((status, &refused["ECODE"]), (StatusCode::BAD_REQUEST, &"ITEM_114".into()));
    for number in 0..30 {
        asker
            .post(&format!("{path}/comment"), json!({"comment_text": format!("c{number}"), "notify_all": false}))
            .await;
    }
    let first = asker.get(&format!("{path}/comment")).await;
    let first = first["comments"].as_array().unwrap();
    assert_eq!((first.len(), &first[0]["comment_text"]), (25, &"c29".into()));
    let last = first[24]["id"].as_str().unwrap();
    let rest = asker.get(&format!("{path}/comment?start=1&start_id={last}")).await;
    assert_eq!(rest["comments"].as_array().unwrap().len(), 5);
    assert_eq!(asker.get(&format!("{list}/task?page=0")).await["tasks"].as_array().unwrap().len(), 1);

    let url = format!("{}{path}", asker.provider.url);
    let nameless = asker.client.get(&url).send().await.unwrap();
    assert_eq!(nameless.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(nameless.json::<Value>().await.unwrap()["ECODE"], "OAUTH_017");
    for _ in 0..60 {
        asker.get(&path).await;
    }
    let limited = asker.client.get(&url).header("authorization", "token-1").send().await.unwrap();
    assert_eq!(limited.status(), StatusCode::OK, "another scheme, the same token: still within");
    let mut last = limited;
    for _ in 0..10 {
        last = asker.client.get(&url).header("authorization", "token-1").send().await.unwrap();
    }
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(last.headers()["x-ratelimit-remaining"], "0");
    assert!(last.headers().contains_key("x-ratelimit-reset"));
    assert_eq!(last.json::<Value>().await.unwrap(), json!({"err": "Rate limit reached", "ECODE": "APP_002"}));
}

#[tokio::test]
async fn slack_keeps_threads_and_metadata() {
    let asker = Asker::start().await;
    let channel = fakes::world::SLACK_CHANNEL;
    let metadata = json!({"event_type": "nexus", "event_payload": {"id": "act_1"}});
    let root = asker
        .post("/slack/api/chat.postMessage", json!({"channel": channel, "text": "root", "metadata": metadata}))
        .await;
    let ts = root["ts"].as_str().unwrap();
    let reply =
        asker.post("/slack/api/chat.postMessage", json!({"channel": channel, "text": "reply", "thread_ts": ts})).await;
    let thread = asker
        .get(&format!("/slack/api/conversations.replies?channel={channel}&ts={ts}&include_all_metadata=true"))
        .await;
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2, "{thread}");
    assert_eq!(thread["messages"][0]["metadata"], metadata);
    let history = asker.get(&format!("/slack/api/conversations.history?channel={channel}")).await;
    assert_eq!((history["messages"].as_array().unwrap().len(), &history["messages"][0]["metadata"]), (1, &Value::Null));
    asker.post("/slack/api/chat.update", json!({"channel": channel, "ts": reply["ts"], "text": "better"})).await;
    let gone = asker.post("/slack/api/chat.delete", json!({"channel": channel, "ts": reply["ts"]})).await;
    assert_eq!(gone["ok"], true);
    for (method, body, error) in [
        ("chat.delete", json!({"channel": channel, "ts": reply["ts"]}), "message_not_found"),
        ("chat.postMessage", json!({"channel": "C1", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": channel}), "no_text"),
        (
            "chat.postMessage",
            json!({"channel": channel, "text": "x", "blocks": [{"text": "x".repeat(13_001)}]}),
            "msg_blocks_too_long",
        ),
        ("no.such", json!({}), "unknown_method"),
    ] {
        assert_eq!(asker.post(&format!("/slack/api/{method}"), body).await, json!({"ok": false, "error": error}));
    }
    asker.ask(Method::PUT, "/fakes/limits/slack", json!({"callsMax": 1, "windowMs": 1_000})).await;
    asker.post("/slack/api/chat.postMessage", json!({"channel": channel, "text": "one"})).await;
    let (status, refused) =
        asker.ask(Method::POST, "/slack/api/chat.postMessage", json!({"channel": channel, "text": "two"})).await;
    assert_eq!((status, &refused["error"]), (StatusCode::TOO_MANY_REQUESTS, &"ratelimited".into()));
    assert_eq!(asker.get("/slack/api/users.info?user=U0ADA").await["user"]["real_name"], "Ada Novak");
}

#[tokio::test]
async fn github_and_jira_keep_issues_and_comments() {
    let asker = Asker::start().await;
    let repository = "/github/repos/acme/rocket";
    let issue = asker.post(&format!("{repository}/issues"), json!({"title": "Broken"})).await;
    assert_eq!((&issue["number"], &issue["state"]), (&1.into(), &"open".into()));
    let comment = asker.post(&format!("{repository}/issues/1/comments"), json!({"body": "why"})).await;
    let path = format!("{repository}/issues/comments/{}", comment["id"]);
    assert_eq!(asker.ask(Method::PATCH, &path, json!({"body": "because"})).await.1["body"], "because");
    assert_eq!(asker.get(&format!("{repository}/issues/1/comments")).await.as_array().unwrap().len(), 1);
    assert_eq!(asker.ask(Method::DELETE, &path, Value::Null).await.0, StatusCode::NO_CONTENT);
    let closed = asker.ask(Method::PATCH, &format!("{repository}/issues/1"), json!({"state": "closed"})).await.1;
    assert!(closed["closed_at"].is_string());
    assert_eq!(asker.ask(Method::GET, "/github/repos/acme/moon/issues/1", Value::Null).await.0, StatusCode::NOT_FOUND);
    let config = json!({"url": "https://hub.example/webhooks/github", "secret": "hush"});
    let hook = asker.post(&format!("{repository}/hooks"), json!({"events": ["issues"], "config": config})).await;
    assert_eq!(hook["config"]["secret"], "********");

    let jira = "/jira/rest/api/3";
    for number in 0..5 {
        let fields = json!({"project": {"key": "ORC"}, "summary": format!("Issue {number}")});
        asker.post(&format!("{jira}/issue"), json!({"fields": fields})).await;
    }
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let search = json!({"jql": "project = ORC", "maxResults": 2, "fields": ["summary"], "nextPageToken": token});
        let page = asker.post(&format!("{jira}/search/jql"), search).await;
        found.extend(page["issues"].as_array().unwrap().iter().map(|issue| issue["key"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].as_str().map(str::to_owned);
        assert_eq!(page["isLast"], token.is_none());
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, ["ORC-1", "ORC-2", "ORC-3", "ORC-4", "ORC-5"]);
    assert_eq!(asker.ask(Method::GET, &format!("{jira}/search?jql=x"), Value::Null).await.0, StatusCode::GONE);
    let adf = json!({"type": "doc", "version": 1, "content": []});
    let made = asker.ask(Method::POST, &format!("{jira}/issue/ORC-1/comment"), json!({"body": adf})).await;
    assert_eq!(made.0, StatusCode::CREATED);
    let moved =
        asker.ask(Method::POST, &format!("{jira}/issue/ORC-1/transitions"), json!({"transition": {"id": "31"}})).await;
    assert_eq!(moved.0, StatusCode::NO_CONTENT);
    assert_eq!(asker.get(&format!("{jira}/issue/ORC-1")).await["fields"]["status"]["name"], "Done");
}

/// What a person does at the fake arrives in the hub, signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_ada_makes_is_an_event_in_the_hub() {
    let asker = Asker::start().await;
    let hub = Hub::start().await;
    let webhook = json!({
        "id": "7689a169-a000-4985-8676-6902b96d6627", "secret": SECRET, "endpoint": format!("{}/webhooks/clickup", hub.url()),
    });
    asker.post("/fakes/clickup/webhooks", webhook).await;
    let task = asker.post("/fakes/clickup/tasks", json!({"name": "Checkout fails", "description": "@AI_Squad"})).await;
    let id = task["id"].as_str().unwrap();
    asker.post(&format!("/fakes/clickup/tasks/{id}/comments"), json!({"text": "@AI_Squad please look"})).await;
    let events = hub.events(2).await;
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"NewWorkItem") && kinds.contains(&"CommentPosted"), "{kinds:?}");
    assert!(events.iter().all(|event| event["task"]["externalId"] == id), "{events:?}");
    let state = asker.get("/fakes/state").await;
    assert_eq!(state["clickupWebhooks"][0]["health"]["fail_count"], 0);
    assert_eq!(state["clickupTasks"][0]["name"], "Checkout fails");
    hub.stop().await;
}
