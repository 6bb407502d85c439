//! kill -9 while the memory learns: what was accepted is found afterwards, once.

use std::{path::Path, time::Duration};

use connectors::hub::Notice;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{
    hub::{PATIENCE, client},
    process::{Process, nexus},
};

const DOCUMENTS: usize = 120;

fn start(directory: &Path) -> Process {
    let mut command = nexus();
    command.args(["up"]);
    command.env("NEXUS_DATA_DIR", directory).env("PORT", "0").env("NEXUS_LOG_SEGMENT_MB", "2");
    command.env("NEXUS_DEFAULT_TENANT", "acme").env("NEXUS_SERVER_CLIENT_REQUESTS_PER_S", "0");
    Process::start(command)
}

async fn ask(
    client: &Client,
    hub: &Process,
    directory: &Path,
    path: &str,
    body: &Value,
) -> Option<(StatusCode, Value)> {
    let token = Notice::read(directory)?.token;
    let answer = client.post(format!("{}{path}", hub.url)).bearer_auth(token).json(body).send().await.ok()?;
    let status = answer.status();
    Some((status, answer.json().await.ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_found_once_however_often_the_hub_dies() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, client) = (directory.path(), client());
    let mut hub = start(folder);
    let made = ask(&client, &hub, folder, "/admin/tenants", &json!({ "id": "acme", "name": "Acme" })).await.unwrap();
    assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);
    let made = ask(&client, &hub, folder, "/api/projects", &json!({ "name": "Rocket", "slackChannelId": "C0ROCKET" }))
        .await
        .unwrap();
    let project = made.1["data"]["id"].as_str().unwrap().to_owned();
    for number in 0..DOCUMENTS {
        if number % 30 == 17 {
            hub.kill();
            hub = start(folder);
        }
        let document = json!({ "projectId": project, "id": format!("doc{number}"), "text": format!("part number zz{number}q of the rocket") });
        loop {
            match ask(&client, &hub, folder, "/api/memory/documents", &document).await {
                Some((StatusCode::ACCEPTED, _)) => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    hub.kill();
    let hub = start(folder);
    let begun = std::time::Instant::now();
    for number in 0..DOCUMENTS {
        let query = json!({ "query": format!("zz{number}q"), "projectId": project, "limit": 5 });
        loop {
            let found = ask(&client, &hub, folder, "/api/memory/search", &query).await;
            let texts: Vec<Value> =
                found.and_then(|(_, answer)| answer["data"].as_array().cloned()).unwrap_or_default();
            let wanted = format!("zz{number}q");
            let with_it = texts.iter().filter(|hit| hit["text"].as_str().unwrap().contains(&wanted)).count();
            assert!(with_it <= 1, "{texts:?}");
            if with_it == 1 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} is lost: {texts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
