//! Issues and pull requests, closed and opened again.

use pipeline::event::TaskState;
use reqwest::Method;
use serde_json::json;

use super::{
    super::{
        line::{Halt, Line, word},
        providers::check_untouched,
    },
    split,
};

/// Opens or closes an issue; `open` or `closed`.
pub(in super::super) async fn set(
    line: &Line<'_>,
    repository: &str,
    number: u64,
    status: Option<&str>,
    state: TaskState,
    unsure_since_ms: Option<u64>,
) -> Result<String, Halt> {
    let (owner, name) = split(repository)?;
    let url = line.url(&["repos", owner, name, "issues", &number.to_string()])?;
    let wanted = match status.map(str::to_ascii_lowercase).as_deref() {
        Some("closed") => "closed",
        Some("open" | "reopened") => "open",
        _ if state == TaskState::Done => "closed",
        _ => "open",
    };
    if unsure_since_ms.is_some() {
        let known = line.ask(line.request(Method::GET, url.clone()), None).await?;
        if known["state"] == wanted {
            return Ok(wanted.to_owned());
        }
        let changed = word(&known, "/updated_at").and_then(|text| udfs::time::from_rfc3339(&text));
        check_untouched(changed.and_then(|at_ms| u64::try_from(at_ms).ok()), unsure_since_ms)?;
    }
    let reason = if wanted == "closed" { "completed" } else { "reopened" };
    let mut request = line.request(Method::PATCH, url).json(&json!({"state": wanted, "state_reason": reason}));
    // A second time it would undo what somebody did in between.
    request.is_repeatable = false;
    let answer = line.ask(request, None).await?;
    Ok(word(&answer, "/state").unwrap_or_else(|| wanted.to_owned()))
}
