//! Two tenants: whatever the ids are, neither sees or touches what the other
//! has.

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    Api,
    rights::{address, served_here},
    text,
};

/// One row of each kind, under ids of a kind's own name and `suffix`.
async fn furnish(api: &Api, tenant: &str, suffix: &str) -> Vec<String> {
    let id = |kind: &str| format!("{kind}-{suffix}");
    let at = |path: &str| format!("{path}?tenantId={tenant}");
    let made = |path: &str, body: Value| {
        let path = at(path);
        async move { api.made(&path, body).await }
    };
    // Connections and clients are unique over all tenants.
    let own = |kind: &str| format!("{kind}-{tenant}-{suffix}");
    made("/api/agents", json!({ "id": id("agent"), "name": format!("{tenant} agent") })).await;
    made("/api/workgroups", json!({ "id": id("group"), "name": tenant, "agentIds": [id("agent")] })).await;
    let project = json!({ "id": id("project"), "name": format!("{tenant} project"), "workgroupId": id("group") });
    made("/api/projects", project).await;
    made("/api/aliases", json!({ "id": id("alias"), "alias": "@Squad", "agentIds": [id("agent")] })).await;
    made("/api/users", json!({ "id": id("user"), "name": format!("{tenant} user"), "role": "member" })).await;
    let mapping =
        json!({ "id": id("mapping"), "externalSystem": "jira", "externalUserId": "1", "resourceId": id("user") });
    made("/api/integrations/external-user-mappings", mapping).await;
    made("/api/connections", json!({ "id": own("connection"), "provider": "slack", "externalId": own("T") })).await;
    made("/admin/clients", json!({ "id": own("client"), "role": "member", "name": format!("{tenant} client") })).await;
    ["agent", "group", "project", "alias", "user", "mapping"]
        .map(id)
        .into_iter()
        .chain(["connection", "client"].map(own))
        .collect()
}

/// Ids that exist at the other tenant alone are 404, for every operation.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_not_there() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (_, _, agent) = api.agent_of("acme", "spy").await;
    let mut runner = TestRunner::deterministic();
    for round in 0..2 {
        let umbra = format!("umbra{round}");
        api.made("/admin/tenants", json!({ "id": umbra, "name": umbra })).await;
        let suffix = "[A-Za-z0-9._-]{1,20}".new_tree(&mut runner).unwrap().current();
        let theirs = furnish(&api, &umbra, &suffix).await;
        let before = everything(&api, &umbra).await;
        for operation in served_here().filter(|operation| operation.path.contains("{id}")) {
            for id in &theirs {
                for token in [&admin, &agent] {
                    let body = operation.taken.map(|_| json!({ "name": "taken over", "enabled": false }));
                    let path = address(&operation, id);
                    let answer = api.ask(operation.method.as_str(), &path, token, body).await;
                    assert!(answer.status.is_client_error(), "{} {path}: {}", operation.method, answer.status);
                    assert!(!answer.text.contains("umbra"), "{}", answer.text);
                    if operation.taken.is_none() && operation.access.roles().len() == 5 {
                        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {path}", operation.method);
                    }
                }
            }
        }
        assert_eq!(everything(&api, &umbra).await, before, "nothing of it changed");
    }
}

/// The same ids at both: each has its own rows, and lists hold no others.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_ids_are_two_rows() {
    let api = Api::start().await;
    furnish(&api, "acme", "same").await;
    furnish(&api, "umbra", "same").await;
    for (tenant, other) in [("acme", "umbra"), ("umbra", "acme")] {
        let (_, admin) = api.client_of(tenant, "admin").await;
        for operation in served_here().filter(|operation| {
            operation.method == "GET" && !operation.path.contains('{') && operation.access.roles().len() > 1
        }) {
            let query = if operation.path.ends_with("resolve") { "?alias=squad" } else { "" };
            let answer = api.ask("GET", &format!("{}{query}", operation.path), &admin, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{}: {}", operation.path, answer.text);
            assert!(!answer.text.contains(other), "{} of {tenant}: {}", operation.path, answer.text);
        }
        let path = "/api/projects/project-same";
        let renamed = api.ask("PATCH", path, &admin, Some(json!({ "name": format!("{tenant} renamed") }))).await;
        assert_eq!(text(&renamed.json()["data"]["name"]), format!("{tenant} renamed"));
    }
    let (_, admin) = api.client_of("acme", "admin").await;
    for kind in ["agents/agent", "workgroups/group", "aliases/alias", "users/user"] {
        let answer = api.ask("DELETE", &format!("/api/{kind}-same"), &admin, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let (_, admin) = api.client_of("umbra", "admin").await;
    for kind in ["agents/agent", "workgroups/group", "aliases/alias", "users/user"] {
        let answer = api.ask("GET", &format!("/api/{kind}-same"), &admin, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
}

/// An id that is unique over all tenants is refused without a word of whose.
#[tokio::test(flavor = "multi_thread")]
async fn a_taken_id_does_not_tell_whose_it_is() {
    let api = Api::start().await;
    furnish(&api, "umbra", "x").await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let body = json!({ "provider": "slack", "externalId": "T-umbra-x" });
    let answer = api.ask("POST", "/api/connections", &admin, Some(body)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(super::fields(&answer), ["externalId"]);
    assert!(!answer.text.contains("umbra"), "{}", answer.text);
}

async fn everything(api: &Api, tenant: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    for path in ["agents", "workgroups", "projects", "aliases", "users", "connections"] {
        let path = format!("/api/{path}?tenantId={tenant}");
        let mut data = api.ask("GET", &path, &api.local(), None).await.json()["data"].clone();
        // How a connection is found to be changes by itself.
        for row in data.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            row.remove("health");
        }
        rows.push(data);
    }
    rows
}
