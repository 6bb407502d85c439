//! The windows of the limits go with their partition: workers come, die and go
//! while agents speak, and none says more than it may, or is refused with room.

use std::{net::SocketAddr, path::Path};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    agents::{TENANT, seed},
    gateways::{KEYS, run},
};
use crate::{
    agents::socket::{KINDS, Socket},
    governance::say,
    hub::client,
    process::Process,
};

/// What an agent may say in the window, and what it tries.
const MESSAGES_MAX: usize = 10;
const MESSAGES: usize = 13;

/// Asks the core as its operator.
async fn ask(core: &Process, directory: &Path, method: Method, path: &str, body: Value) {
    let token = hub::Notice::read(directory).unwrap().token;
    let url = format!("{}{path}?tenantId={TENANT}", core.url);
    let answer = client().request(method, url).bearer_auth(token).json(&body).send().await.unwrap();
    let status = answer.status();
    assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_however_workers_come_and_go_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-rebalance-{}-", std::process::id());
    let kafka = (&*brokers, &*prefix);
    let directory = tempfile::tempdir().unwrap();
    let logins = seed(directory.path(), Some(kafka), &KEYS);
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let worker =
        |number: usize| tokio::task::block_in_place(|| run("pipeline", homes[number].path(), kafka, number + 1));
    let core = tokio::task::block_in_place(|| run("ingest,lookups,api", directory.path(), kafka, 0));
    let gateway = tokio::task::block_in_place(|| run("gateway", homes[2].path(), kafka, 3));
    let mut workers = [Some(worker(0)), None];

    // Longer than all of this takes.
    let limits = json!({ "limits": { "messages": { "windowMs": 3_600_000 } } });
    ask(&core, directory.path(), Method::PATCH, "/api/tenant", limits).await;
    let project = json!({ "id": "prj_limits", "name": "Shop", "slackChannelId": "C0SHOP" });
    ask(&core, directory.path(), Method::POST, "/api/projects", project).await;

    let address: SocketAddr = gateway.url.trim_start_matches("http://").parse().unwrap();
    let mut sockets = Vec::new();
    for ((id, secret), kind) in logins.into_iter().zip(KINDS) {
        let asked = json!({ "client_id": id, "client_secret": secret });
        let answer = client().post(format!("{}/auth/token", core.url)).json(&asked).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let token = answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        let mut socket = Socket::open(address, kind, &token).await.unwrap();
        socket.expect("hello").await;
        socket.say("agent_ready", json!({ "protocol": "nexus.v1" })).await;
        sockets.push(socket);
    }
    let mut accepted = vec![0; sockets.len()];
    for number in 0..MESSAGES {
        match number {
            2 => workers[1] = Some(worker(1)),
            104 => workers[0].take().unwrap().kill(),
            106 => workers[0] = Some(worker(0)),
            108 => drop(tokio::task::block_in_place(|| workers[1].take().unwrap().terminate())),
            _ => {}
        }
        for (index, socket) in sockets.iter_mut().enumerate() {
            let answer = say(socket, &format!("message {number} of {index}")).await;
            assert_eq!(answer["status"] == "accepted", number < MESSAGES_MAX, "message {number}: {answer}");
            accepted[index] += usize::from(answer["status"] == "accepted");
        }
    }
    assert!(accepted.iter().all(|accepted| *accepted == MESSAGES_MAX), "{accepted:?}");
}
