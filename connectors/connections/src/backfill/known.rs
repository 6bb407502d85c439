//! What of a connection has been published already: read from `events`, which
//! keeps it for longer than the pipeline remembers what it has seen.
//!
//! A thing is known by its kind and its id there, with a hash of the last words
//! that were heard of it. What lies before the time asked for is not read: the
//! first record of that time is found by halving.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use pipeline::{
    event::{EventType, Time},
    ports::{Reader, Start, Visibility},
    topics::{Topic, partition_of},
};
use serde::Deserialize;
use udfs::hash::Parts;

use crate::Connections;
use providers::{
    capability::backfill::{Heard, post_id},
    client::ProviderError,
};

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 500;
/// Things that are remembered; beyond it a backfill would have to be for less.
const THINGS_MAX: usize = 2_000_000;
/// How much earlier than asked for is read: providers' clocks differ from ours.
const SKEW_MS: u64 = 600_000;

/// As much of an event as is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "type")]
    kind: EventType,
    source: Source,
    subject: Option<Subject>,
    task: Option<Task>,
    message: Option<Message>,
    #[serde(default)]
    unrouted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    provider: String,
    connection_id: Option<String>,
    delivery_id: Option<String>,
    event: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    external_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    external_id: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    text: String,
    channel_id: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Known {
    things: HashMap<u128, u64>,
    /// The comments of each task that still stand, as far as we heard.
    comments: BTreeMap<String, BTreeSet<String>>,
    /// The last status that was published of each task, through whichever
    /// connection.
    statuses: HashMap<u128, String>,
    /// Where the next record to be read is.
    next: u64,
    /// What was held against it so far.
    pub looked_at: u64,
}

/// Spaces and line ends are told differently by webhooks and answers.
fn words(text: &str) -> u64 {
    let bare = text.split_whitespace().fold(Parts::new(), Parts::add);
    bare.finish() as u64
}

fn key(kind: &str, id: &str) -> u128 {
    Parts::new().add(kind).add(id).finish()
}

fn too_much() -> ProviderError {
    ProviderError::first("too_much", format!("more than {THINGS_MAX} things happened since: ask for less"))
}

impl Known {
    /// Whether something was heard of, and whether it said this.
    pub fn heard(&mut self, kind: &str, id: &str, text: &str) -> Heard {
        self.looked_at += 1;
        match self.things.get(&key(kind, id)) {
            None => Heard::Not,
            Some(known) if *known == words(text) => Heard::Alike,
            Some(_) => Heard::Otherwise,
        }
    }

    /// Something is told now, and is known from here on.
    pub fn tell(&mut self, kind: &str, id: &str, text: &str) {
        self.things.insert(key(kind, id), words(text));
    }

    /// The last status that was published of a task; nothing if its last event
    /// lies before the time asked for.
    pub fn status_of(&self, provider: &str, task: &str) -> Option<&str> {
        self.statuses.get(&key(provider, task)).map(String::as_str)
    }

    /// A comment is told to be gone.
    pub fn tell_gone(&mut self, task: &str, id: &str) {
        if let Some(comments) = self.comments.get_mut(task) {
            comments.remove(id);
        }
    }

    /// The tasks of which there are comments.
    pub fn tasks(&self) -> impl Iterator<Item = String> {
        self.comments.keys().cloned()
    }

    /// The comments on a task that nobody has told to be gone.
    pub fn comments_on(&self, task: &str) -> impl Iterator<Item = &String> {
        self.comments.get(task).into_iter().flatten()
    }

    fn put(&mut self, kind: &str, id: &str, text: &str) -> Result<(), ProviderError> {
        if self.things.len() >= THINGS_MAX {
            return Err(too_much());
        }
        self.things.insert(key(kind, id), words(text));
        Ok(())
    }

    /// Takes up which status an event says that its task has. What belongs to no
    /// project has no row either.
    fn learn_status(&mut self, event: &Event) -> Result<(), ProviderError> {
        let task = event.task.as_ref().filter(|_| !event.unrouted);
        let Some((id, status)) = task.and_then(|task| task.external_id.as_deref().zip(task.status.as_ref())) else {
            return Ok(());
        };
        if self.statuses.len() >= THINGS_MAX {
            return Err(too_much());
        }
        self.statuses.insert(key(&event.source.provider, id), status.clone());
        Ok(())
    }

    /// Takes up one event of the connection.
    fn learn(&mut self, event: &Event) -> Result<(), ProviderError> {
        use EventType::{CommentDeleted, CommentPosted, CommentUpdated, MessageChanged, MessagePosted, NewWorkItem};
        if let Some(delivery) = &event.source.delivery_id {
            self.put("delivery", delivery, "")?;
        }
        let Some(id) = event.subject.as_ref().and_then(|subject| subject.external_id.as_deref()) else { return Ok(()) };
        let text = event.message.as_ref().map_or("", |message| &message.text);
        let task = event.task.as_ref().and_then(|task| task.external_id.clone());
        match event.kind {
            MessagePosted | MessageChanged => {
                let channel = event.message.as_ref().and_then(|message| message.channel_id.as_deref());
                self.put("post", &post_id(channel.unwrap_or_default(), id), text)?;
            }
            CommentPosted | CommentUpdated => {
                self.put("comment", id, text)?;
                // Reviews are comments of another kind, with ids of their own.
                if let Some(task) = task.filter(|_| !event.source.event.starts_with("pull_request_review")) {
                    self.comments.entry(task).or_default().insert(id.to_owned());
                }
            }
            CommentDeleted => {
                if let Some(comments) = task.and_then(|task| self.comments.get_mut(&task)) {
                    comments.remove(id);
                }
            }
            NewWorkItem => self.put("task", task.as_deref().unwrap_or(id), "")?,
            _ => {}
        }
        Ok(())
    }
}

impl Connections {
    /// What was published of a connection since then. Of what had no project,
    /// only `is_history` wants to hear again.
    pub(super) async fn known_since(
        &self,
        tenant: &str,
        connection: &str,
        from: Time,
        is_history: bool,
    ) -> Result<Known, ProviderError> {
        let from_ms = from.as_ms().saturating_sub(SKEW_MS);
        let mut known = Known { next: self.first_since(tenant, from_ms).await?, ..Known::default() };
        self.learn_more(&mut known, tenant, connection, is_history).await?;
        Ok(known)
    }

    /// Takes up what was published meanwhile.
    pub(in super::super) async fn learn_more(
        &self,
        known: &mut Known,
        tenant: &str,
        connection: &str,
        is_history: bool,
    ) -> Result<(), ProviderError> {
        let mut reader = self.events_from(tenant, known.next).await?;
        loop {
            let records = reader.ready(RECORDS_AT_ONCE).await?;
            let Some(last) = records.last() else { return Ok(()) };
            known.next = last.position.offset + 1;
            for record in records.iter().filter(|record| *record.key == *tenant.as_bytes()) {
                let value = record.value.as_deref().unwrap_or_default();
                let Ok(event) = serde_json::from_slice::<Event>(value) else { continue };
                known.learn_status(&event)?;
                if event.source.connection_id.as_deref() == Some(connection) && !(event.unrouted && is_history) {
                    known.learn(&event)?;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn events_from(&self, tenant: &str, offset: u64) -> Result<Box<dyn Reader>, ProviderError> {
        let partition = partition_of(tenant, self.log.partitions());
        Ok(self.log.read(Topic::Events, partition, Start::Offset(offset), Visibility::Durable).await?)
    }

    /// The offset of the first event of a tenant's partition that is not older.
    async fn first_since(&self, tenant: &str, from_ms: u64) -> Result<u64, ProviderError> {
        let partition = partition_of(tenant, self.log.partitions());
        let lags = self.log.lag("", &[Topic::Events]).await?;
        let Some(lag) = lags.iter().find(|lag| lag.partition == partition) else { return Ok(0) };
        let (mut first, mut end) = (lag.first_offset, lag.end_offset);
        while first < end {
            let middle = first + (end - first) / 2;
            let records = self.events_from(tenant, middle).await?.ready(1).await?;
            match records.first() {
                Some(record) if record.at_ms < from_ms => first = middle + 1,
                _ => end = middle,
            }
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, subject: &str, task: &str, text: &str) -> Event {
        with_status(kind, subject, task, text, None)
    }

    fn with_status(kind: &str, subject: &str, task: &str, text: &str, status: Option<&str>) -> Event {
        serde_json::from_value(json!({
            "type": kind, "source": { "provider": "clickup", "event": kind, "deliveryId": format!("d-{subject}") },
            "subject": { "kind": "comment", "externalId": subject }, "task": { "externalId": task, "status": status },
            "message": { "text": text, "channelId": "C1" },
        }))
        .expect("an event")
    }

    #[test]
    fn a_thing_is_known_by_its_id_and_its_last_words() {
        let mut known = Known::default();
        for heard in [
            event("CommentPosted", "c1", "t1", "hello\n there"),
            event("CommentPosted", "c2", "t1", "one"),
            event("CommentUpdated", "c2", "t1", "two"),
            event("CommentPosted", "c3", "t2", "gone"),
            event("CommentDeleted", "c3", "t2", ""),
            event("MessagePosted", "1.2", "t1", "hi"),
        ] {
            known.learn(&heard).expect("room");
        }
        assert_eq!(known.heard("comment", "c1", "hello there"), Heard::Alike);
        assert_eq!(
            (known.heard("comment", "c2", "one"), known.heard("comment", "c2", "two")),
            (Heard::Otherwise, Heard::Alike)
        );
        assert_eq!((known.heard("comment", "c9", ""), known.heard("delivery", "d-c1", "")), (Heard::Not, Heard::Alike));
        assert_eq!(known.heard("post", &post_id("C1", "1.2"), "hi"), Heard::Alike);
        assert_eq!(known.comments_on("t1").collect::<Vec<_>>(), ["c1", "c2"]);
        assert_eq!(known.comments_on("t2").count(), 0);
    }

    #[test]
    fn a_tasks_status_is_the_last_that_was_published() {
        let mut known = Known::default();
        let unrouted = Event { unrouted: true, ..with_status("NewWorkItem", "t2", "t2", "", Some("open")) };
        for heard in [
            with_status("NewWorkItem", "t1", "t1", "", Some("to do")),
            with_status("WorkItemStatusChanged", "t1", "t1", "", Some("complete")),
            with_status("CommentPosted", "c1", "t1", "words", None),
            unrouted,
        ] {
            known.learn_status(&heard).expect("room");
        }
        assert_eq!(known.status_of("clickup", "t1"), Some("complete"));
        assert_eq!(known.status_of("jira", "t1"), None);
        assert_eq!(known.status_of("clickup", "t2"), None, "it has no row");
    }
}
