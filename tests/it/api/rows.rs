//! Rows: made, shown, changed, taken away; lists that miss nothing; faults by
//! field.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Api, fields, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_has_a_whole_life() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (_, agent, _) = api.agent_of("acme", "Atlas").await;
    let user = api.made("/api/users", json!({ "name": "Ada", "role": "member" })).await;
    for (path, new, change, cleared) in [
        (
            "/api/workgroups",
            json!({ "name": "squad", "slackChannelId": "C1", "agentIds": [agent] }),
            json!({ "name": "crew" }),
            "slackChannelId",
        ),
        (
            "/api/projects",
            json!({ "name": "rocket", "clickupListId": "9011", "statusMap": { "in review": "BLOCKED_ON_HUMAN" } }),
            json!({ "archived": true }),
            "clickupListId",
        ),
        ("/api/aliases", json!({ "alias": "@AI_Squad", "agentIds": [agent] }), json!({ "alias": "@crew" }), "agentIds"),
        (
            "/api/users",
            json!({ "name": "Bob", "email": "bob@example.com", "role": "admin", "externalIds": [{ "provider": "slack", "id": "U1" }] }),
            json!({ "role": "analyst" }),
            "email",
        ),
        (
            "/api/integrations/external-user-mappings",
            json!({ "externalSystem": "jira", "externalEmail": "ada@example.com", "externalUserId": "7", "resourceId": user["id"] }),
            json!({ "externalUserId": "8" }),
            "externalEmail",
        ),
        (
            "/api/connections",
            json!({ "provider": "slack", "externalId": "T1", "name": "ours", "webhookSecret": "hush", "filters": { "a": 1 } }),
            json!({ "enabled": false }),
            "filters",
        ),
        (
            "/api/agents",
            json!({ "name": "Bolt", "role": "runs", "capabilities": ["x"] }),
            json!({ "owner": "Ada" }),
            "role",
        ),
        ("/admin/clients", json!({ "role": "analyst", "name": "report" }), json!({ "enabled": false }), "name"),
    ] {
        let made = api.ask("POST", path, &admin, Some(new.clone())).await;
        assert_eq!(made.status, StatusCode::CREATED, "{path}: {}", made.text);
        let made = made.json()["data"].clone();
        let one = format!("{path}/{}", text(&made["id"]));
        let mut shown = api.ask("GET", &one, &admin, None).await.json()["data"].clone();
        // How a connection is found to be changes by itself.
        let unseen = |row: &mut Value| drop(row.as_object_mut().and_then(|row| row.remove("health")));
        unseen(&mut shown);
        for (name, value) in new.as_object().unwrap() {
            assert!(shown[name] == *value || name == "webhookSecret", "{one}: {name} is {}", shown[name]);
        }
        let mut listed = api.ask("GET", path, &admin, None).await.json();
        listed["data"].as_array_mut().unwrap().iter_mut().for_each(unseen);
        assert!(listed["data"].as_array().unwrap().contains(&shown), "{path}: {listed}");
        let changed = api.ask("PATCH", &one, &admin, Some(change.clone())).await;
        assert_eq!(changed.status, StatusCode::OK, "{one}: {}", changed.text);
        let changed = changed.json()["data"].clone();
        for (name, value) in shown.as_object().unwrap().iter().filter(|(name, _)| *name != "updatedAt") {
            let expected = change.get(name).unwrap_or(value);
            assert_eq!(changed[name], *expected, "{one}: {name}");
        }
        let cleared_one = api.ask("PATCH", &one, &admin, Some(json!({ cleared: null }))).await.json()["data"].clone();
        let left = &cleared_one[cleared];
        assert!(left.is_null() || *left == json!([]), "{one}: {cleared} is {left}");
        let nothing = api.ask("PATCH", &one, &admin, Some(json!({}))).await.json()["data"].clone();
        assert_eq!(without_times(nothing), without_times(cleared_one), "an empty change changes nothing");
        let gone = api.ask("DELETE", &one, &admin, None).await;
        assert_eq!(gone.json()["data"], json!({ "id": made["id"], "deleted": true }));
        for method in ["GET", "DELETE"] {
            let answer = api.ask(method, &one, &admin, None).await;
            assert_eq!((answer.status, answer.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
        }
    }
}

fn without_times(mut row: Value) -> Value {
    row.as_object_mut().unwrap().remove("updatedAt");
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_told_with_its_field() {
    let api = Api::start().await;
    let long = "x".repeat(201);
    for (path, body, expected) in [
        ("/api/agents", json!({}), vec!["name"]),
        ("/api/agents", json!({ "name": "", "colour": 1 }), vec!["colour", "name"]),
        ("/api/agents", json!({ "name": long }), vec!["name"]),
        ("/api/agents", json!({ "name": "a\nb", "clientId": "x" }), vec!["clientId", "name"]),
        ("/api/agents", json!({ "name": "a", "capabilities": ["ok", 7] }), vec!["capabilities.1"]),
        (
            "/api/agents",
            json!({ "name": "a", "externalIds": [{ "provider": "Slack" }] }),
            vec!["externalIds.0.id", "externalIds.0.provider"],
        ),
        ("/api/agents", json!([]), vec!["body"]),
        ("/api/agents", json!({ "name": "a", "id": "no/slash" }), vec!["id"]),
        ("/api/workgroups", json!({ "name": "a", "onListCreated": "never" }), vec!["onListCreated"]),
        ("/api/projects", json!({ "name": "a", "statusMap": { "x": "LATER" } }), vec!["statusMap.x"]),
        ("/api/projects", json!({ "name": "a", "startsAt": "tomorrow" }), vec!["startsAt"]),
        ("/api/projects", json!({ "name": "a", "githubRepository": "rocket" }), vec!["githubRepository"]),
        ("/api/aliases", json!({ "alias": "no at" }), vec!["alias"]),
        ("/api/users", json!({ "name": "a", "role": "king", "email": "nowhere" }), vec!["email", "role"]),
        ("/api/connections", json!({ "provider": "slack", "sealedToken": "x" }), vec!["sealedToken"]),
        ("/api/broadcast", json!({ "message": "" }), vec!["message"]),
        ("/api/tasks", json!({ "provider": "clickup" }), vec!["externalId", "projectId"]),
        ("/admin/clients", json!({ "role": "agent" }), vec!["role"]),
    ] {
        let answer = api.ask("POST", path, &api.local(), Some(body.clone())).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("invalid")),
            "{path} {body}: {}",
            answer.text
        );
        let mut found = fields(&answer);
        found.sort();
        assert_eq!(found, expected, "{path} {body}");
    }
    for (path, field) in
        [("/api/agents?limit=0", "limit"), ("/api/agents?colour=1", "colour"), ("/api/aliases/resolve", "alias")]
    {
        let answer = api.ask("GET", path, &api.local(), None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(fields(&answer), [field]);
    }
    for (path, body, field) in [
        ("/api/workgroups", json!({ "name": "a", "agentIds": ["nobody"] }), "agentIds"),
        ("/api/projects", json!({ "name": "a", "workgroupId": "nobody" }), "workgroupId"),
        (
            "/api/integrations/external-user-mappings",
            json!({ "externalSystem": "jira", "externalUserId": "1", "resourceId": "nobody" }),
            "resourceId",
        ),
        ("/api/tasks", json!({ "projectId": "nobody", "provider": "clickup", "externalId": "1" }), "projectId"),
    ] {
        let answer = api.ask("POST", path, &api.local(), Some(body)).await;
        assert_eq!(
            (answer.status, fields(&answer)),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![field.to_owned()]),
            "{}",
            answer.text
        );
    }
    api.made("/api/aliases", json!({ "alias": "@Squad" })).await;
    let again = api.ask("POST", "/api/aliases", &api.local(), Some(json!({ "alias": "@SQUAD" }))).await;
    assert_eq!((again.status, fields(&again)), (StatusCode::CONFLICT, vec!["alias".to_owned()]));
}

/// Whatever is made meanwhile, what was there at the beginning comes once.
#[tokio::test(flavor = "multi_thread")]
async fn lists_miss_nothing_while_others_write() {
    let api = Api::start().await;
    let mut there = BTreeSet::new();
    for number in 0..60 {
        there.insert(text(&api.made("/api/projects", json!({ "name": format!("p{number}") })).await["id"]));
    }
    let reading = async {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.ask("GET", &format!("/api/projects?limit=7{cursor}"), &api.local(), None).await.json();
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= 7);
            seen.extend(rows.iter().map(|row| text(&row["id"])));
            match page["page"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return seen,
            }
        }
    };
    let writing = async {
        for number in 0..30 {
            api.made("/api/projects", json!({ "name": format!("late {number}") })).await;
        }
    };
    let (seen, ()) = tokio::join!(reading, writing);
    let unique: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "nothing twice");
    assert!(unique.is_superset(&there), "{} of {}", unique.intersection(&there).count(), there.len());
    let exact = api.ask("GET", "/api/projects?limit=90", &api.local(), None).await.json();
    assert_eq!((exact["data"].as_array().unwrap().len(), &exact["page"]["next"]), (90, &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_found_in_any_case_and_agents_by_name() {
    let api = Api::start().await;
    let (_, atlas, _) = api.agent_of("acme", "Atlas").await;
    api.made("/api/aliases", json!({ "alias": "@AI_Squad", "agentIds": [atlas] })).await;
    for alias in ["@AI_Squad", "ai_squad", "%40ATLAS", "atlas"] {
        let answer = api.ask("GET", &format!("/api/aliases/resolve?alias={alias}"), &api.local(), None).await;
        assert_eq!(answer.json()["data"]["agentIds"], json!([atlas]), "{alias}: {}", answer.text);
    }
    let nobody = api.ask("GET", "/api/aliases/resolve?alias=@nobody", &api.local(), None).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    // An agent that goes leaves what it was in.
    let squad = api.made("/api/workgroups", json!({ "name": "squad", "agentIds": [atlas] })).await;
    assert_eq!(api.ask("DELETE", &format!("/api/agents/{atlas}"), &api.local(), None).await.status, StatusCode::OK);
    let members = format!("/api/workgroups/{}/agents", text(&squad["id"]));
    assert_eq!(api.ask("GET", &members, &api.local(), None).await.json()["data"]["agentIds"], json!([]));
    let alias = api.ask("GET", "/api/aliases/resolve?alias=@ai_squad", &api.local(), None).await;
    assert_eq!(alias.json()["data"]["agentIds"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_a_workgroup_is_told_in_pages() {
    let api = Api::start().await;
    let mut all = Vec::new();
    for name in ["ada", "bo", "cy"] {
        all.push(text(&api.made("/api/agents", json!({ "name": name })).await["id"]));
    }
    let squad = api.made("/api/workgroups", json!({ "name": "squad", "agentIds": all })).await;
    let path = format!("/api/workgroups/{}/agents", text(&squad["id"]));
    let (mut told, mut cursor) = (Vec::new(), String::new());
    for expected in [2, 1] {
        let answer = api.ask("GET", &format!("{path}?limit=2{cursor}"), &api.local(), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let page = answer.json();
        let ids = page["data"]["agentIds"].as_array().unwrap().clone();
        assert_eq!(ids.len(), expected, "{page}");
        told.extend(ids.iter().map(text));
        assert_eq!(page["page"]["next"].is_string(), expected == 2, "{page}");
        cursor = format!("&cursor={}", page["page"]["next"].as_str().unwrap_or_default());
    }
    all.sort();
    assert_eq!(told, all);
    assert_eq!(api.ask("GET", &format!("{path}?limit=0"), &api.local(), None).await.status, StatusCode::BAD_REQUEST);
}

/// People's dates of a project: its end takes it out of the flow, by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_whose_end_has_passed_is_archived() {
    let api = Api::start().await;
    let made = async |name: &str, dates: Value| {
        let mut form = json!({ "name": name });
        form.as_object_mut().unwrap().extend(dates.as_object().unwrap().clone());
        text(&api.made("/api/projects", form).await["id"])
    };
    let past = json!({ "startsAt": "2025-01-01T00:00:00Z", "endsAt": "2025-06-30T00:00:00Z" });
    let future = json!({ "startsAt": "2999-01-01T00:00:00Z", "endsAt": "2999-06-30T00:00:00Z" });
    let (over, begins_later) = (made("over", past).await, made("begins later", future).await);
    let is_archived = async |id: &str| {
        api.ask("GET", &format!("/api/projects/{id}"), &api.local(), None).await.json()["data"]["archived"] == true
    };
    let begun = std::time::Instant::now();
    while !is_archived(&over).await {
        assert!(begun.elapsed() < crate::hub::PATIENCE, "it is never archived");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!is_archived(&begins_later).await, "a beginning is no gate");
    // Its end moves: it may be taken up again.
    let again = json!({ "endsAt": "2999-06-30T00:00:00Z", "archived": false });
    let path = format!("/api/projects/{over}");
    assert_eq!(api.ask("PATCH", &path, &api.local(), Some(again)).await.status, StatusCode::OK);
    // Another one ends after that, so both were looked at.
    let last = made("another", json!({ "endsAt": "2025-06-30T00:00:00Z" })).await;
    while !is_archived(&last).await {
        assert!(begun.elapsed() < crate::hub::PATIENCE, "it is never archived");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!is_archived(&over).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_are_told_becomes_commands() {
    let api = Api::start().await;
    let (_, agent, _) = api.agent_of("acme", "Atlas").await;
    let (_, member) = api.client_of("acme", "member").await;
    for (path, body, kind) in [
        (format!("/api/agents/{agent}/wake"), Some(json!({ "message": "up" })), "wake"),
        (format!("/api/agents/{agent}/wake"), None, "wake"),
        (format!("/api/agents/{agent}/events"), Some(json!({ "name": "wake_up", "data": { "a": [1] } })), "tell"),
        ("/api/broadcast".to_owned(), Some(json!({ "message": "noon", "data": { "b": 2 } })), "broadcast"),
    ] {
        let answer = api.ask("POST", &path, &member, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path}: {}", answer.text);
        let id = text(&answer.json()["data"]["id"]);
        let command = loop {
            let commands = api.hub.values(pipeline::topics::Topic::Commands, 1).await;
            if let Some(command) = commands.into_iter().find(|command| command["correlationId"] == json!(id)) {
                break command;
            }
        };
        assert_eq!((&command["kind"], &command["tenantId"]), (&json!(kind), &json!("acme")), "{command}");
    }
    let mute = api.ask("POST", &format!("/api/agents/{agent}/mute"), &api.local(), None).await;
    assert_eq!(mute.json()["data"], json!({ "agentId": agent, "muted": true }));
    let nobody = api.ask("POST", "/api/agents/nobody/wake", &member, None).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reads_its_own_records() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("umbra", "admin").await;
    let post = api.hub.sample("umbra", "slack", "message");
    api.hub.post(post).await.id();
    api.hub.webhook("slack", "message").await.id();
    api.hub.records(pipeline::topics::Topic::Events, 2).await;
    let lines = api.ask("GET", "/admin/topics/events", &admin, None).await.text;
    assert!(lines.lines().count() == 1 && lines.contains("umbra") && !lines.contains("acme"), "{lines}");
    let all = api.ask("GET", "/admin/topics/events", &api.local(), None).await.text;
    assert_eq!(all.lines().count(), 2);
    let control = api.ask("GET", "/admin/topics/control", &admin, None).await;
    assert_eq!(control.status, StatusCode::FORBIDDEN, "rows of all kinds, and sealed secrets");
}
