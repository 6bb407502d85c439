//! Secrets go in and never come out: of no answer, no file, no line of the log.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use reqwest::StatusCode;
use serde_json::json;

use super::{Api, text};
use crate::process::nexus;

/// Whether a text stands anywhere in a folder's files.
fn stands_in(folder: &Path, wanted: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return stands_in(&path, wanted);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(wanted)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_in_no_answer_and_in_no_file() {
    let api = Api::start().await;
    let token = api.local();
    let secrets = ["webhook-hush-1", "previous-hush-2", "token-hush-3"];
    let body = json!({
        "provider": "slack", "externalId": "T1", "name": "marker-4711",
        "webhookSecret": secrets[0], "previousWebhookSecrets": [secrets[1]], "apiToken": secrets[2],
    });
    let made = api.ask("POST", "/api/connections", &token, Some(body)).await;
    let shown = made.json()["data"].clone();
    assert_eq!((&shown["webhookSecrets"], &shown["hasApiToken"]), (&json!(2), &json!(true)), "{shown}");
    let one = format!("/api/connections/{}", text(&shown["id"]));
    // A change of something else keeps them.
    let renamed = api.ask("PATCH", &one, &token, Some(json!({ "name": "marker-4712" }))).await;
    assert_eq!(
        (&renamed.json()["data"]["webhookSecrets"], &renamed.json()["data"]["hasApiToken"]),
        (&json!(2), &json!(true))
    );
    let agent = api.made("/api/agents", json!({ "name": "atlas" })).await;
    let client_secret = text(&agent["clientSecret"]);
    let mut answers = vec![made.text, renamed.text];
    for path in
        ["/api/connections", &one, "/api/agents", "/admin/clients", "/admin/topics/control", "/metrics", "/health"]
    {
        answers.push(api.ask("GET", path, &token, None).await.text);
    }
    for secret in secrets.iter().chain([&client_secret.as_str()]) {
        assert!(answers.iter().all(|answer| !answer.contains(secret)), "{secret}");
        assert!(!stands_in(api.hub.directory.path(), secret), "{secret} in a file");
    }
    assert!(answers.iter().all(|answer| !answer.contains("$2b$")), "no hash either");
    assert!(stands_in(api.hub.directory.path(), "marker-4712"), "the search finds what is there");
    // One by one they are taken away and replaced.
    let none = api.ask("PATCH", &one, &token, Some(json!({ "apiToken": null, "previousWebhookSecrets": null }))).await;
    let none = none.json()["data"].clone();
    assert_eq!((&none["webhookSecrets"], &none["hasApiToken"]), (&json!(1), &json!(false)));
    let replaced = api.ask("PATCH", &one, &token, Some(json!({ "webhookSecret": "other" }))).await;
    assert_eq!(replaced.json()["data"]["webhookSecrets"], 1);
}

/// The binary says nothing of them either, however much it is asked to say.
#[tokio::test(flavor = "multi_thread")]
async fn they_are_in_no_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = nexus();
    command.arg("up").env("NEXUS_DATA_DIR", folder.path()).env("PORT", "0").env("NEXUS_TELEMETRY_LEVEL", "trace");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = Arc::new(Mutex::new(String::new()));
    let (mut stderr, to) = (child.stderr.take().unwrap(), Arc::clone(&said));
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(read @ 1..) = std::io::Read::read(&mut stderr, &mut buffer) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
    let begun = std::time::Instant::now();
    let client = crate::hub::client();
    let notice = loop {
        assert!(begun.elapsed() < crate::hub::PATIENCE, "{}", said.lock().unwrap());
        if let Some(notice) = hub::Notice::read(folder.path()) {
            let ready = client.get(format!("{}/health/ready", notice.url)).send().await;
            if ready.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                break notice;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let post = |path: &str, body| {
        let request = client.post(format!("{}{path}", notice.url)).bearer_auth(&notice.token).json(&body);
        async move { request.send().await.unwrap().json::<serde_json::Value>().await.unwrap()["data"].clone() }
    };
    post("/admin/tenants", json!({ "id": "acme", "name": "Acme" })).await;
    let made = post("/admin/clients?tenantId=acme", json!({ "role": "admin" })).await;
    let secret = text(&made["clientSecret"]);
    post(
        "/api/connections?tenantId=acme",
        json!({ "provider": "slack", "webhookSecret": "hush-1", "apiToken": "hush-2" }),
    )
    .await;
    let login = |secret: &str| {
        let body = json!({ "client_id": made["clientId"], "client_secret": secret });
        client.post(format!("{}/auth/token", notice.url)).json(&body).send()
    };
    let token = login(&secret).await.unwrap().json::<serde_json::Value>().await.unwrap();
    let token = text(&token["access_token"]);
    assert_eq!(login("wrong-hush-3").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let forged = format!("{token}x");
    for token in [&token, &forged] {
        client.get(format!("{}/api/agents", notice.url)).bearer_auth(token).send().await.unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap();
    let said = said.lock().unwrap();
    assert!(said.len() > 1_000, "it did say something");
    for secret in [secret.as_str(), "hush-1", "hush-2", "wrong-hush-3", &token, &forged, &notice.token] {
        assert!(!said.contains(secret), "{secret}");
    }
}
