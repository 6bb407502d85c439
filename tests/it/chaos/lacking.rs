//! What to say when agents were not told of everything: enough to know whether
//! an event was never made, was made for nobody, is held in the log, or was not
//! delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::agents::Books;
use crate::hub::client;

/// Events that are named one by one; the others are counted.
const NAMED_MAX: usize = 10;

/// Compares what the log holds with what each agent has in its books.
pub async fn lacking(all_books: &[Arc<Mutex<Books>>], sent: usize, url: &str, token: &str) -> String {
    let ask = async |path: &str| -> String {
        let answer = client().get(format!("{url}{path}")).bearer_auth(token).send().await;
        match answer {
            Ok(answer) => answer.text().await.unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        }
    };
    let lines =
        |text: &str| -> Vec<Value> { text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let events = lines(&ask("/admin/topics/events").await);
    let inbox = lines(&ask("/admin/topics/agents.inbox").await);
    let id = |record: &Value| record["value"]["id"].as_str().unwrap_or("?").to_owned();
    let entries: BTreeMap<String, String> = inbox.iter().map(|entry| (id(entry), place(entry))).collect();

    let mut report = format!("{sent} webhooks, {} events, {} entries of the inbox", events.len(), inbox.len());
    for (number, books) in all_books.iter().enumerate() {
        let books = books.lock().unwrap();
        let lacks: Vec<_> =
            events.iter().enumerate().filter(|(_, event)| !books.seqs.contains_key(&id(event))).collect();
        let _ = write!(
            report,
            "\nagent {number} knows {}, {} repeats, lacks {}",
            books.seqs.len(),
            books.repeats,
            lacks.len()
        );
        for (nth, event) in lacks.iter().take(NAMED_MAX) {
            let unrouted = if event["value"]["unrouted"] == true { ", unrouted" } else { "" };
            let entry = entries.get(&id(event)).map_or("in no entry of the inbox", String::as_str);
            let _ = write!(report, "\n  event {nth} ({}{unrouted}): {entry}", place(event));
        }
        let _ = write!(report, "\n  faults: {:?}", books.faults);
    }
    let known: BTreeSet<_> = events.iter().map(id).collect();
    let _ = write!(report, "\nids that stand twice: {}", events.len() - known.len());
    for path in ["/health/ready", "/webhooks/health"] {
        let _ = write!(report, "\n{path}: {}", ask(path).await);
    }
    report
}

fn place(record: &Value) -> String {
    format!("{}/{}@{} {}", record["topic"].as_str().unwrap_or("?"), record["partition"], record["offset"], record["at"])
}
