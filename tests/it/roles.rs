//! A role alone: only its routes answer, and only its tasks run.

use std::collections::BTreeSet;

use hub::{
    Hub, Notice,
    roles::{ROLES, Role},
};
use reqwest::{Client, Method, StatusCode};

use super::hub::{client, config};

/// What every process runs.
const EVERYWHERE: &[&str] = &["directory", "kill_switch"];

/// A route of a role: how it is asked for, and where.
const ROUTES: &[(Role, Method, &str)] = &[
    (Role::Ingest, Method::POST, "/webhooks/slack"),
    (Role::Ingest, Method::POST, "/api/webhooks/slack"),
    (Role::Gateway, Method::GET, "/agents/ws"),
    (Role::Gateway, Method::GET, "/socket.io/?EIO=4&transport=polling"),
    (Role::Api, Method::GET, "/api/agents"),
    (Role::Api, Method::GET, "/api/tasks"),
    (Role::Api, Method::POST, "/api/memory/search"),
    (Role::Api, Method::POST, "/auth/token"),
    (Role::Api, Method::POST, "/mcp"),
];

/// The tasks of a role.
fn tasks_of(role: Role) -> BTreeSet<&'static str> {
    let with_sql = super::ENGINE.is_some();
    let own: &[&str] = match role {
        Role::Ingest => &["ingest"],
        Role::Pipeline => &["pipeline"],
        Role::Gateway => &["gateway"],
        Role::Lookups => &["lookups"],
        Role::Mirror => &["mirror", "alerts"],
        Role::Memory => &["memory"],
        Role::Lake if with_sql => &["lake"],
        Role::Lake => &[],
        Role::Api => &["announcer", "api", "connections", "own_ids", "projector", "tools", "trail"],
    };
    let sql = (with_sql && role == Role::Api).then_some("sql");
    EVERYWHERE.iter().chain(own).copied().chain(sql).collect()
}

async fn status(client: &Client, url: &str, method: &Method, path: &str, token: &str) -> StatusCode {
    let request = client.request(method.clone(), format!("{url}{path}")).bearer_auth(token);
    request.body("{}").send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_alone_serves_and_runs_what_its_name_says() {
    let client = client();
    for (name, role, _) in ROLES {
        let directory = tempfile::tempdir().unwrap();
        let hub = Hub::start_with(&config(directory.path()), &[*role], super::ENGINE).await.unwrap();
        hub.ready().await;
        assert_eq!(hub.tasks().into_keys().collect::<BTreeSet<_>>(), tasks_of(*role), "{name}");
        let (url, token) = (hub.url(), Notice::read(directory.path()).unwrap().token);
        for path in ["/health/live", "/health/ready", "/health", "/metrics"] {
            assert_eq!(status(&client, &url, &Method::GET, path, &token).await, StatusCode::OK, "{name}: {path}");
        }
        for (whose, method, path) in ROUTES {
            let status = status(&client, &url, method, path, &token).await;
            assert_eq!(status != StatusCode::NOT_FOUND, whose == role, "{name}: {method} {path} says {status}");
        }
        hub.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_alone_serves_nothing_of_the_api() {
    let (directory, client) = (tempfile::tempdir().unwrap(), client());
    let hub = Hub::start_with(&config(directory.path()), &[Role::Memory], super::ENGINE).await.unwrap();
    hub.ready().await;
    let token = Notice::read(directory.path()).unwrap().token;
    let not_served =
        api::operations().into_iter().filter(|operation| !matches!(operation.served, api::Served::Always(_)));
    let mut asked = 0;
    for operation in not_served {
        let path = operation.path.replace(['{', '}'], "");
        let status = status(&client, &hub.url(), &operation.method, &path, &token).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{} {}", operation.method, operation.path);
        asked += 1;
    }
    assert!(asked > 50, "only {asked} operations were asked for");
    hub.stop().await.unwrap();
}
