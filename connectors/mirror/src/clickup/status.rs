//! Tasks, moved from one status to another.

use pipeline::event::TaskState;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{
    line::{Halt, Line, word},
    providers::check_untouched,
};

/// Moves a task; the status it has now, in ClickUp's word.
pub(in super::super) async fn set(
    line: &Line<'_>,
    task: &str,
    status: Option<&str>,
    state: TaskState,
    unsure_since_ms: Option<u64>,
) -> Result<String, Halt> {
    let url = line.url(&["task", task])?;
    let wanted = match (status, unsure_since_ms) {
        (Some(status), None) => status.to_owned(),
        _ => {
            let known = line.ask(line.request(Method::GET, url.clone()), None).await?;
            let wanted = match status {
                Some(status) => status.to_owned(),
                None => choose(line, &known, state).await?,
            };
            match word(&known, "/status/status") {
                Some(now) if now.eq_ignore_ascii_case(&wanted) => return Ok(now),
                _ => {}
            }
            let changed_ms = word(&known, "/date_updated").and_then(|text| text.parse().ok());
            check_untouched(changed_ms, unsure_since_ms)?;
            wanted
        }
    };
    let mut request = line.request(Method::PUT, url).json(&json!({"status": wanted}));
    // A second time it would undo what somebody did in between.
    request.is_repeatable = false;
    let answer = line.ask(request, None).await?;
    Ok(word(&answer, "/status/status").unwrap_or(wanted))
}

/// The list's own status that fits a state.
async fn choose(line: &Line<'_>, task: &Value, state: TaskState) -> Result<String, Halt> {
    let missing = |what: &str| Halt::Refused { code: "refused", detail: format!("the task's {what}") };
    let list = word(task, "/list/id").ok_or_else(|| missing("list is not told"))?;
    let list = line.ask(line.request(Method::GET, line.url(&["list", &list])?), None).await?;
    let statuses = list["statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_word = |status: &&Value| {
        let word = status["status"].as_str().unwrap_or_default();
        TaskState::of_status(word, None) == Some(state)
    };
    let by_kind = |status: &&Value| kinds(state).contains(&status["type"].as_str().unwrap_or_default());
    let found = statuses.iter().find(by_word).or_else(|| statuses.iter().find(by_kind));
    found.and_then(|status| word(status, "/status")).ok_or_else(|| missing("list has no status that fits"))
}

fn kinds(state: TaskState) -> &'static [&'static str] {
    match state {
        TaskState::Todo => &["open", "unstarted"],
        TaskState::InProgress | TaskState::BlockedOnHuman => &["custom", "active"],
        TaskState::Done => &["done", "closed"],
    }
}
