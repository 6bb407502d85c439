//! What there is to map, page by page, and what becomes of providers' faults.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{House, TOKEN};
use crate::api::text;

fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| text(&row["id"])).collect()
}

impl House {
    /// All pages of a list.
    async fn all(&self, path: &str) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        for _ in 0..50 {
            let page = self.get(&format!("{path}?limit=2{cursor}")).await;
            rows.extend(page["data"].as_array().unwrap().clone());
            match page["page"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
        panic!("{path} does not end")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_come_page_by_page_and_say_where_they_are_mapped() {
    let house = House::open().await;
    let slack = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    for number in 0..4 {
        let channel = json!({ "id": format!("C{number}"), "name": format!("room-{number}"), "is_member": number != 1 });
        house.provider.fakes.world().slack_channels.put(&format!("C{number}"), channel);
    }
    let project = house.make("/api/projects", json!({ "name": "Room", "slackChannelId": "C2" })).await;
    let path = format!("/api/connections/{slack}/channels");
    let rows = house.all(&path).await;
    assert_eq!(ids(&json!(rows)), ["C0SHOPDEV1", "C0", "C1", "C2", "C3"]);
    assert_eq!((&rows[2]["isMember"], &rows[3]["projectId"]), (&json!(false), &project["id"]));
    assert_eq!(rows[1]["name"], "room-0");
    // Of another tenant there is nothing, and nothing is asked.
    let (_, other) = house.api.client_of("umbra", "admin").await;
    let asked = house.provider.fakes.world().count("slack", "GET", "/api/conversations.list");
    assert_eq!(house.api.ask("GET", &path, &other, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.provider.fakes.world().count("slack", "GET", "/api/conversations.list"), asked);
    let lists = house.ask("GET", &format!("/api/connections/{slack}/lists"), None).await;
    assert_eq!((lists.status, lists.json()["code"].clone()), (StatusCode::UNPROCESSABLE_ENTITY, json!("unsupported")));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_their_tasks_come_from_every_tracker() {
    let house = House::open().await;
    {
        let mut world = house.provider.fakes.world();
        for (id, space, folder) in [("1", "90120001", "90120011"), ("2", "90120002", ""), ("3", "90120002", "")] {
            let mut list = fakes::clickup::list(id, &format!("List {id}"));
            list["space"] = json!({ "id": space, "name": format!("Space {space}") });
            list["folder"] = json!({ "id": folder, "name": "Folder", "hidden": folder.is_empty() });
            world.clickup_lists.put(id, list);
        }
        for number in 0..120 {
            let body = json!({ "id": format!("t{number}"), "name": format!("Task {number}") });
            fakes::clickup::new_task(&mut world, "2", &body, 1_795_248_000_000).unwrap();
        }
        for number in 1..4 {
            let row = json!({
                "number": number, "title": format!("Issue {number}"), "state": "open", "html_url": "https://github.com/x",
                "repository_url": "https://api.github.com/repos/orchard/shop",
            });
            world.github_issues.put(&format!("orchard/shop {number}"), row);
            let row = json!({ "id": number.to_string(), "key": format!("ORC-{number}"), "fields": {
                "summary": format!("Issue {number}"), "project": { "key": "ORC" }, "status": { "name": "To Do" },
            } });
            world.jira_issues.put(&format!("ORC-{number}"), row);
        }
    }
    let clickup = house.connection("clickup", json!({ "externalId": "w1", "webhookSecret": "s" })).await;
    let project = house.make("/api/projects", json!({ "name": "Two", "clickupListId": "2" })).await;
    let lists = house.all(&format!("/api/connections/{clickup}/lists")).await;
    assert_eq!(ids(&json!(lists)), ["901200345678", "1", "2", "3"]);
    assert_eq!(lists[0]["within"], json!(["Orchard", "Orchard", "Orchard"]));
    assert_eq!((&lists[2]["within"], &lists[2]["projectId"]), (&json!(["Orchard", "Space 90120002"]), &project["id"]));
    let tasks = house.all(&format!("/api/connections/{clickup}/lists/2/tasks")).await;
    assert_eq!((tasks.len(), &tasks[0]["id"], &tasks[0]["status"]), (120, &json!("t119"), &json!("to do")));
    let gone = house.ask("GET", &format!("/api/connections/{clickup}/lists/99/tasks"), None).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.text);
    let bad = house.ask("GET", &format!("/api/connections/{clickup}/lists?cursor=x"), None).await;
    assert_eq!((bad.status, &bad.json()["code"]), (StatusCode::BAD_REQUEST, &json!("bad_cursor")), "{}", bad.text);

    let github = house.connection("github", json!({ "externalId": "orchard/shop", "webhookSecret": "s" })).await;
    let lists = house.all(&format!("/api/connections/{github}/lists")).await;
    assert_eq!(ids(&json!(lists)), ["orchard/shop"]);
    let tasks = house.all(&format!("/api/connections/{github}/lists/orchard%2Fshop/tasks")).await;
    assert_eq!(ids(&json!(tasks)), ["orchard/shop#3", "orchard/shop#2", "orchard/shop#1"]);

    let jira =
        house.connection("jira", json!({ "externalId": "orchard.example", "email": "ada@orchard.example" })).await;
    assert_eq!(ids(&json!(house.all(&format!("/api/connections/{jira}/lists")).await)), ["ORC"]);
    let tasks = house.all(&format!("/api/connections/{jira}/lists/ORC/tasks")).await;
    assert_eq!(tasks.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_faults_have_stable_codes_and_tell_no_token() {
    // Nobody else asks meanwhile.
    let house = House::open_with(|config| config.upkeep.health_interval_ms = 3_600_000).await;
    let slack = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    let path = format!("/api/connections/{slack}/channels");
    let fault = |more: Value| {
        let mut fault = json!({ "provider": "slack", "path": "conversations.list" });
        fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        house.provider.fakes.world().faults.clear();
        house.provider.fault(fault);
    };
    let again = json!({ "ok": true, "channels": [{ "id": "C1", "name": "one" }], "response_metadata": { "next_cursor": "same" } });
    fault(json!({ "status": 200, "body": again }));
    let first = house.ask("GET", &path, None).await;
    assert_eq!(first.json()["page"]["next"], "same", "{}", first.text);
    for (more, cursor, status, code) in [
        (json!({ "status": 200, "body": again }), "?cursor=same", 502, "provider_answer"),
        (json!({ "status": 200, "body": { "ok": true } }), "", 502, "provider_answer"),
        (json!({ "status": 200, "body": { "ok": false, "error": "invalid_auth" } }), "", 502, "provider_unauthorised"),
        (json!({ "status": 200, "body": { "ok": false, "error": "missing_scope" } }), "", 502, "provider_unauthorised"),
        (json!({ "tells_token": true }), "", 503, "provider_unavailable"),
    ] {
        let more = match more.get("tells_token") {
            Some(_) => json!({ "tellsToken": true }),
            None => more,
        };
        fault(more);
        let answer = house.ask("GET", &format!("{path}{cursor}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(!answer.text.contains(TOKEN), "{}", answer.text);
    }
    // Five failures in a row: it is left alone for a while.
    fault(json!({ "status": 500 }));
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(text(&house.ask("GET", &path, None).await.json()["code"]));
    }
    assert_eq!(codes.last().unwrap(), "provider_down", "{codes:?}");
    // Another connection of the same provider has a circuit of its own.
    let other = house.connection("slack", json!({ "externalId": "T0OTHER", "apiToken": "hush-other-token" })).await;
    let path = format!("/api/connections/{other}/channels");
    fault(json!({ "status": 429, "headers": [["retry-after", "120"]] }));
    let limited = house.ask("GET", &path, None).await;
    assert_eq!(
        (limited.status, &limited.json()["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("provider_rate_limited"))
    );
    let wait: u64 = limited.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((100..=120).contains(&wait), "{wait}");
    // A token that is refused a pause is not used before it is over.
    house.provider.fakes.world().faults.clear();
    assert_eq!(house.ask("GET", &path, None).await.status, StatusCode::TOO_MANY_REQUESTS);
    let bare = house.make("/api/connections", json!({ "provider": "slack", "externalId": "T0BARE" })).await;
    let none = house.ask("GET", &format!("/api/connections/{}/channels", text(&bare["id"])), None).await;
    assert_eq!((none.status, &none.json()["code"]), (StatusCode::CONFLICT, &json!("no_token")));
    house.keeps_secrets(&[TOKEN, "hush-other-token"]).await;
}
