//! Tasks, moved from one status to another.

use pipeline::event::{MirrorPlace, TaskState};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ClickUp, task_of};
use crate::{
    capability::{
        SetStatus,
        status::{Move, check_untouched},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl SetStatus for ClickUp {
    fn set<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, wanted: Move<'a>) -> Asking<'a, String> {
        Box::pin(async move { set(client, task_of(place)?, wanted).await })
    }
}

/// Moves a task; the status it has now, in ClickUp's word.
pub(super) async fn set(
    client: &ProviderClient,
    task: &str,
    Move { status, state, unsure_since_ms }: Move<'_>,
) -> Result<String, ProviderError> {
    let url = client.url(&["task", task])?;
    let wanted = match (status, unsure_since_ms) {
        (Some(status), None) => status.to_owned(),
        _ => {
            let known = client.ask(client.request(Method::GET, url.clone()), None).await?;
            let wanted = match status {
                Some(status) => status.to_owned(),
                None => choose(client, &known, state).await?,
            };
            match word_at(&known, "/status/status") {
                Some(now) if now.eq_ignore_ascii_case(&wanted) => return Ok(now),
                _ => {}
            }
            let changed_ms = word_at(&known, "/date_updated").and_then(|text| text.parse().ok());
            check_untouched(changed_ms, unsure_since_ms)?;
            wanted
        }
    };
    let mut request = client.request(Method::PUT, url).json(&json!({"status": wanted}));
    // A second time it would undo what somebody did in between.
    request.is_repeatable = false;
    let answer = client.ask(request, None).await?;
    Ok(word_at(&answer, "/status/status").unwrap_or(wanted))
}

/// The list's own status that fits a state.
async fn choose(client: &ProviderClient, task: &Value, state: TaskState) -> Result<String, ProviderError> {
    let missing = |what: &str| ProviderError::rejected(format!("the task's {what}"));
    let list = word_at(task, "/list/id").ok_or_else(|| missing("list is not told"))?;
    let list = client.ask(client.request(Method::GET, client.url(&["list", &list])?), None).await?;
    let statuses = list["statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_word = |status: &&Value| {
        let word = status["status"].as_str().unwrap_or_default();
        TaskState::of_status(word, None) == Some(state)
    };
    let by_kind = |status: &&Value| kinds(state).contains(&status["type"].as_str().unwrap_or_default());
    let found = statuses.iter().find(by_word).or_else(|| statuses.iter().find(by_kind));
    found.and_then(|status| word_at(status, "/status")).ok_or_else(|| missing("list has no status that fits"))
}

fn kinds(state: TaskState) -> &'static [&'static str] {
    match state {
        TaskState::Todo => &["open", "unstarted"],
        TaskState::InProgress | TaskState::BlockedOnHuman => &["custom", "active"],
        TaskState::Done => &["done", "closed"],
    }
}
