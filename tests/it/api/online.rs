//! Agents at their sockets, as the API sees them: who is online, by pages; what
//! is sent to one by hand; and that a client that is revoked is cut.

use std::net::SocketAddr;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Api, text};
use crate::agents::socket::{KINDS, Kind, Socket};

async fn connect(api: &Api, kind: Kind, token: &str) -> Socket {
    let address: SocketAddr = api.hub.url().trim_start_matches("http://").parse().unwrap();
    let mut socket = Socket::open(address, kind, token).await.unwrap();
    socket.expect("hello").await;
    socket.say("agent_ready", json!({ "ack": true, "capabilities": ["test"] })).await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_listed_and_can_be_woken_and_cut() {
    let api = Api::start().await;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (mut sockets, mut ids, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, name) in KINDS.into_iter().zip(["ada", "bo"]) {
        let (client, id, token) = api.agent_of("acme", name).await;
        sockets.push(connect(&api, kind, &token).await);
        ids.push(id);
        clients.push(client);
    }
    let list = async |query: &str| {
        let answer = api.ask("GET", &format!("/api/agents/online{query}"), &admin, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    };
    let begun = std::time::Instant::now();
    while list("").await["data"].as_array().unwrap().len() < 2 {
        assert!(begun.elapsed() < crate::hub::PATIENCE, "not online");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let first = list("?limit=1").await;
    let next = text(&first["page"]["next"]);
    let second = list(&format!("?limit=1&cursor={next}")).await;
    let id = |page: &Value| text(&page["data"][0]["agentId"]);
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!([id(&first), id(&second)], [sorted[0].clone(), sorted[1].clone()]);
    assert!(second["page"]["next"].is_null());

    let path = format!("/api/agents/{}/wake", ids[0]);
    let woken = api.ask("POST", &path, &admin, Some(json!({ "message": "up" }))).await;
    assert!(woken.status.is_success(), "{}", woken.text);
    assert_eq!(sockets[0].take("wake_up").await["seq"], 1);
    let all = api.ask("POST", "/api/broadcast", &admin, Some(json!({ "message": "all" }))).await;
    assert!(all.status.is_success(), "{}", all.text);
    assert_eq!(sockets[0].take("context_update").await["seq"], 2);
    assert_eq!(sockets[1].take("context_update").await["seq"], 1);

    let revoked = api.ask("POST", &format!("/admin/clients/{}/revoke", clients[0]), &admin, None).await;
    assert!(revoked.status.is_success(), "{}", revoked.text);
    let begun = std::time::Instant::now();
    sockets[0].rest().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "cut within five seconds");
    let left = list("").await;
    assert!(left["data"].as_array().unwrap().iter().any(|agent| agent["agentId"] == ids[1].as_str()));
}
