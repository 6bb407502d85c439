//! What webhooks did not tell: asked for step by step, and fed in as it would
//! have come.

use pipeline::event::{Project, Task, Time};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::hooks::OwnHook;
use crate::{
    client::{ProviderClient, ProviderError},
    provider::Asking,
};

/// How a thing is known that has been heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Never.
    Not,
    /// With these words.
    Alike,
    /// With others.
    Otherwise,
}

/// What was published of a connection, and where what was not is put.
pub trait History: Send + Sync {
    /// From when on.
    fn from(&self) -> Time;
    /// Whether it is for what was before the connection, not for what was missed.
    fn is_history(&self) -> bool;
    /// The wall clock.
    fn now_ms(&self) -> u64;
    /// What is younger may still be on its way by itself.
    fn fresh_ms(&self) -> u64;

    /// Whether something was heard of, and whether it said this.
    fn heard(&mut self, kind: &str, id: &str, text: &str) -> Heard;
    /// Something is told now, and is known from here on.
    fn tell(&mut self, kind: &str, id: &str, text: &str);
    /// A comment is told to be gone.
    fn tell_gone(&mut self, task: &str, id: &str);
    /// The tasks of which there are comments.
    fn tasks(&self) -> Vec<String>;
    /// The comments on a task that nobody has told to be gone.
    fn comments_on(&self, task: &str) -> Vec<String>;

    /// Takes up what was published meanwhile.
    fn refresh(&mut self) -> Asking<'_, ()>;
    /// The last status that was published of a task; nothing if its last event
    /// lies before the time asked for.
    fn status_of(&self, task: &str) -> Option<String>;

    /// Feeds in one body, as a webhook with these headers and this delivery id.
    fn feed(&mut self, body: &Value, headers: &[(&'static str, &str)], delivery: Option<&str>);

    /// A task, as it is kept.
    fn task<'a>(&'a self, external_id: &'a str) -> Asking<'a, Option<Task>>;
    /// The threads of a channel in which tasks are discussed.
    fn threads<'a>(&'a self, channel: &'a str) -> Asking<'a, Vec<String>>;
    /// The connection's own webhook, as noted, and where webhooks come in.
    fn hook(&self) -> Asking<'_, (Option<OwnHook>, Option<String>)>;
}

/// Asks for what webhooks did not tell. Steps are JSON, kept between two of them:
/// each provider has its own.
pub trait Backfill: Send + Sync {
    /// The first steps, for these projects.
    fn plan<'a>(&'a self, history: &'a dyn History, projects: &'a [&'a Project]) -> Asking<'a, Vec<Value>>;

    /// Does a step; those that follow from it.
    fn step<'a>(
        &'a self,
        client: &'a ProviderClient,
        history: &'a mut dyn History,
        step: &'a Value,
    ) -> Asking<'a, Vec<Value>>;

    /// Looks again at the comments of a task, of which the provider does not tell
    /// when they are gone; none, where it does.
    fn comments(&self) -> Option<&dyn LostComments> {
        None
    }
}

/// Finds comments that are gone.
pub trait LostComments: Send + Sync {
    /// Looks at the comments of a task, and feeds in what was not heard.
    fn look<'a>(&'a self, client: &'a ProviderClient, history: &'a mut dyn History, task: &'a str) -> Asking<'a, ()>;
}

/// A page that follows itself is never followed.
pub fn check_cursor(cursor: Option<&str>, next: Option<&str>) -> Result<(), ProviderError> {
    match next.is_some() && next == cursor {
        true => Err(ProviderError::bad_answer("the provider gave the same page token twice")),
        false => Ok(()),
    }
}

/// The name of a message in a chat.
pub fn post_id(channel: &str, ts: &str) -> String {
    format!("{channel} {ts}")
}

/// The steps of a provider, as they are kept.
pub fn to_json<S: Serialize>(steps: Vec<S>) -> Vec<Value> {
    // A step is made of texts and numbers alone.
    steps.into_iter().filter_map(|step| serde_json::to_value(step).ok()).collect()
}

/// A step, as it was kept.
pub fn from_json<S: DeserializeOwned>(step: &Value) -> Result<S, ProviderError> {
    S::deserialize(step).map_err(|error| ProviderError::bad_answer(format!("a step of a backfill: {error}")))
}
