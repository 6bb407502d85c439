//! Each operation and each role: who may, who may not, who is not even known.

use api::{Operation, Served, operations};
use pipeline::event::Role;
use reqwest::StatusCode;
use runtime::auth::Access;
use serde_json::json;

use super::Api;

const ROLES: &[Role] = &[Role::Agent, Role::Member, Role::Analyst, Role::Admin, Role::Platform];

/// An address of the operation that names nothing.
pub fn address(operation: &Operation, id: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { id.to_owned() } else { part.to_owned() };
    operation.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

pub fn served_here() -> impl Iterator<Item = Operation> {
    operations().into_iter().filter(|operation| matches!(operation.served, Served::Desk(_)))
}

/// Routing the tenant's unrouted events waits for the pipeline; the rest of
/// what it is asked has no right address here.
fn waits(operation: &Operation) -> bool {
    operation.path == "/api/unrouted/reroute"
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_its_role() {
    let api = Api::start().await;
    let mut tokens = Vec::new();
    for role in ROLES {
        tokens.push((*role, api.client_of("acme", role.name()).await.1));
    }
    let mut guarded = 0;
    for operation in served_here() {
        let (method, path) = (operation.method.as_str(), address(&operation, "nobody"));
        let body = operation.taken.map(|_| json!({}));
        let bare = api.request(operation.method.clone(), &path).json(&json!({}));
        let answer = api.send(bare).await;
        if operation.access == Access::Open {
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
            continue;
        }
        guarded += 1;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} without a token");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"), "{method} {path}");
        for (role, token) in &tokens {
            let may = operation.access.roles().contains(role);
            if may && waits(&operation) && *role != Role::Admin {
                continue;
            }
            let answer = api.ask(method, &path, token, body.clone()).await;
            let refused = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            assert_eq!(!refused, may, "{method} {path} as {}: {} {}", role.name(), answer.status, answer.text);
            assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
            if refused {
                assert_eq!(answer.json()["code"], "forbidden");
            }
        }
    }
    assert!(guarded > 50, "{guarded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_platform_names_another_tenant() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (_, platform) = api.client_of("acme", "platform").await;
    for operation in served_here().filter(|operation| operation.params.iter().any(|param| param.name == "tenantId")) {
        let mut path = format!("{}?tenantId=umbra", address(&operation, "nobody"));
        for needed in operation.params.iter().filter(|param| param.required) {
            path += &format!("&{}=x", needed.name);
        }
        if operation.path.starts_with("/api/deadletters") {
            // There it is a filter: what is another's is not there.
            assert_eq!(api.ask("GET", &path, &admin, None).await.json()["data"], json!([]));
            continue;
        }
        let (method, body) = (operation.method.as_str(), operation.taken.map(|_| json!({})));
        let answer = api.ask(method, &path, &admin, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {}", answer.text);
    }
    let agents = |tenant: &str| format!("/api/agents?tenantId={tenant}");
    assert_eq!(api.ask("GET", &agents("acme"), &admin, None).await.status, StatusCode::OK, "one's own may be named");
    assert_eq!(api.ask("GET", &agents("umbra"), &platform, None).await.status, StatusCode::OK);
    assert_eq!(api.ask("GET", &agents("nobody"), &platform, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_more_than_they_have() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (platform_id, _) = api.client_of("acme", "platform").await;
    let make = |path: &str, body| {
        let (api, admin, path) = (&api, &admin, path.to_owned());
        async move { api.ask("POST", &path, admin, Some(body)).await }
    };
    let client = make("/admin/clients", json!({ "role": "platform" })).await;
    assert_eq!(client.status, StatusCode::FORBIDDEN, "{}", client.text);
    let user = make("/api/users", json!({ "name": "Eve", "role": "platform" })).await;
    assert_eq!(user.status, StatusCode::FORBIDDEN, "{}", user.text);
    let user = make("/api/users", json!({ "name": "Eve", "role": "admin" })).await;
    let path = format!("/api/users/{}", super::text(&user.json()["data"]["id"]));
    let raised = api.ask("PATCH", &path, &admin, Some(json!({ "role": "platform" }))).await;
    assert_eq!(raised.status, StatusCode::FORBIDDEN, "{}", raised.text);
    // The secret of one who works across tenants is theirs alone.
    for (method, what) in [("POST", "/rotate-secret"), ("POST", "/revoke"), ("DELETE", "")] {
        let answer = api.ask(method, &format!("/admin/clients/{platform_id}{what}"), &admin, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{what}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reaches_the_projects_of_its_workgroups() {
    let api = Api::start().await;
    let (_, agent, token) = api.agent_of("acme", "atlas").await;
    let squad = api.made("/api/workgroups", json!({ "name": "squad", "agentIds": [agent] })).await;
    let other = api.made("/api/workgroups", json!({ "name": "other" })).await;
    let mut ids = Vec::new();
    for (name, workgroup) in [("ours", &squad["id"]), ("theirs", &other["id"]), ("nobody's", &json!(null))] {
        ids.push(api.made("/api/projects", json!({ "name": name, "workgroupId": workgroup })).await["id"].clone());
    }
    let listed = async |path: &str| {
        let rows = api.ask("GET", path, &token, None).await.json()["data"].as_array().cloned().unwrap();
        rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(listed("/api/projects").await, [ids[0].clone()]);
    assert_eq!(listed("/api/workgroups").await, [squad["id"].clone()]);
    for (id, status) in ids.iter().zip([StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::NOT_FOUND]) {
        let answer = api.ask("GET", &format!("/api/projects/{}", super::text(id)), &token, None).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let leave = format!("/api/workgroups/{}/agents/{agent}", super::text(&squad["id"]));
    assert_eq!(api.ask("DELETE", &leave, &api.local(), None).await.status, StatusCode::OK);
    assert!(listed("/api/projects").await.is_empty(), "what it left it reaches no more");
    assert_eq!(api.ask("DELETE", &leave, &api.local(), None).await.status, StatusCode::NOT_FOUND);
}
