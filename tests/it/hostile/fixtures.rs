//! The folder of bad bodies that `NEXUS_FIXTURES` names, row by row: signed as
//! the provider signs, and once more unsigned.

use pipeline::topics::Topic;
use providers::samples::Request;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Hub, open_doors, signed, unsigned};
use crate::hub::Answer;

#[derive(Deserialize)]
struct Index {
    files: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    file: String,
    content_type: Option<String>,
    provider: String,
    expect: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

/// The headers that rows add.
const HEADERS: &[&str] =
    &["x-github-event", "x-github-delivery", "content-encoding", "x-slack-retry-num", "x-slack-retry-reason"];

impl Row {
    fn providers(&self) -> Vec<&str> {
        if self.provider == "any" { vec!["clickup", "slack", "generic"] } else { vec![&self.provider] }
    }

    fn request(&self, provider: &str, body: &[u8]) -> Request {
        let mut request = signed(provider, self.content_type.as_deref(), body);
        for (name, value) in &self.headers {
            let name = HEADERS.iter().find(|known| name.eq_ignore_ascii_case(known));
            let name = name.unwrap_or_else(|| panic!("{} has a new header", self.name));
            request.headers.retain(|(known, _)| known != name);
            request.headers.push((name, value.clone()));
        }
        request
    }

    /// Whether an answer is what the row's words ask for. Where they leave a
    /// choice, the contract's is taken.
    fn allows(&self, answer: &Answer) -> bool {
        let status = answer.status;
        match self.expect.as_str() {
            "4xx, nothing stored as an event"
            | "4xx or accepted with the BOM dropped, documented"
            | "4xx, nothing stored as an event (a JSON body declared as a form)"
            | "4xx, nothing stored as an event or 2xx" => status.is_client_error(),
            "4xx or 2xx, never 5xx, process stays up" | "2xx or 4xx" => status.is_success() || status.is_client_error(),
            "415 or accepted, documented" | "415 or 4xx" | "4xx" => status == StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "2xx when a form content type is supported, else 415"
            | "2xx, both are the same character"
            | "2xx, must not be forwarded back (loop guard)"
            | "2xx, stored once" => status == StatusCode::OK,
            other => panic!("{} expects something new: {other}", self.name),
        }
    }
}

#[tokio::test]
async fn every_bad_body_of_the_folder_gets_its_answer() {
    let Ok(folder) = std::env::var("NEXUS_FIXTURES") else {
        println!("off: NEXUS_FIXTURES is not set");
        return;
    };
    let folder = std::path::Path::new(&folder).join("adversarial");
    let index: Index = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    assert!(index.files.len() >= 82, "{} rows", index.files.len());
    let hub = Hub::start_with(open_doors).await;
    let (mut wrong, mut accepted) = (Vec::new(), Vec::new());
    for row in &index.files {
        let body = std::fs::read(folder.join(&row.file)).unwrap();
        for provider in row.providers() {
            let request = row.request(provider, &body);
            let answer = hub.post(unsigned(request.clone())).await;
            let refused = match answer.status {
                StatusCode::UNAUTHORIZED => provider != "clickup",
                StatusCode::BAD_REQUEST => provider == "clickup",
                status => status == StatusCode::UNSUPPORTED_MEDIA_TYPE,
            };
            if !refused {
                wrong.push(format!("{} unsigned to {provider}: {} {}", row.name, answer.status, answer.text));
            }
            let answer = hub.post(request).await;
            if !row.allows(&answer) {
                wrong.push(format!("{} to {provider} ({}): {} {}", row.name, row.expect, answer.status, answer.text));
            }
            if answer.status.is_success() && answer.json()["data"]["duplicate"] == false {
                accepted.push((row.name.as_str(), answer.id(), body.clone()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let events = hub.all_events().await;
    let raws = hub.values(Topic::WebhooksRaw, accepted.len()).await;
    assert_eq!(raws.len(), accepted.len() + 1, "what was accepted and the marker, nothing else");
    for (name, _, body) in &accepted {
        assert!(raws.iter().any(|raw| raw["body"].as_str().is_some_and(|kept| kept.as_bytes() == body)), "{name}");
    }
    let dead: Vec<Value> = hub.values(Topic::DeadLetters, 0).await;
    println!("{} accepted, {} events, {} dead letters", accepted.len(), events.len(), dead.len());
    for letter in dead {
        println!("{}", letter["reason"]);
        assert!(!letter["reason"].as_str().unwrap().contains("defect"), "{letter}");
    }
    hub.is_unharmed().await;

    // Several rows tell of one Slack post; alone, each is an event.
    let alone = async |name: &str| {
        let row = index.files.iter().find(|row| row.name == name).unwrap();
        let hub = Hub::start_with(open_doors).await;
        let body = std::fs::read(folder.join(&row.file)).unwrap();
        hub.post(row.request(&row.provider, &body)).await.id();
        assert_eq!(hub.post(row.request(&row.provider, &body)).await.json()["data"]["duplicate"], true);
        let mut events = hub.all_events().await;
        assert_eq!(events.len(), 1, "{name}");
        events.remove(0)
    };
    assert_eq!(alone("surrogate_pair_ok").await["message"]["text"], "😀 = 😀");
    assert_eq!(alone("slack_self_message").await["actor"]["kind"], "bot", "so that nothing answers it");
    let injected = alone("mrkdwn_injection").await;
    let text = injected["message"]["text"].as_str().unwrap();
    assert!(!text.contains("<!channel>"), "plain text calls nobody: {text}");
    alone("slack_retry").await;
}
