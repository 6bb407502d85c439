//! Issues, moved along their workflow.

use pipeline::event::TaskState;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{
        line::{Halt, Line, word},
        providers::check_untouched,
    },
    API,
    find::moment,
};

/// Moves an issue; the status it has now, in the workflow's word.
pub(in super::super) async fn set(
    line: &Line<'_>,
    issue: &str,
    status: Option<&str>,
    state: TaskState,
    unsure_since_ms: Option<u64>,
) -> Result<String, Halt> {
    let [rest, api, version] = API;
    let mut url = line.url(&[rest, api, version, "issue", issue])?;
    url.query_pairs_mut().append_pair("fields", "status,updated");
    // A workflow may have no move from a status to itself.
    let known = line.ask(line.request(Method::GET, url), None).await?;
    if fits(&known["fields"]["status"], status, state) {
        return Ok(word(&known, "/fields/status/name").unwrap_or_default());
    }
    check_untouched(word(&known, "/fields/updated").and_then(|text| moment(&text)), unsure_since_ms)?;
    let url = line.url(&[rest, api, version, "issue", issue, "transitions"])?;
    let moves = line.ask(line.request(Method::GET, url.clone()), None).await?;
    let moves = moves["transitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let chosen = moves.iter().find(|step| fits(&step["to"], status, state));
    let chosen = chosen.and_then(|step| Some((word(step, "/id")?, word(step, "/to/name")?)));
    let Some((id, name)) = chosen else {
        let detail = "the issue's workflow has no move there from where it is".to_owned();
        return Err(Halt::Refused { code: "refused", detail });
    };
    let request = line.request(Method::POST, url).json(&json!({"transition": {"id": id}}));
    line.ask(request, None).await?;
    Ok(name)
}

/// Whether a status is the one of this word, or without a word of this state.
fn fits(known: &Value, status: Option<&str>, state: TaskState) -> bool {
    let name = known["name"].as_str().unwrap_or_default();
    match status {
        Some(status) => name.eq_ignore_ascii_case(status),
        None if TaskState::of_status(name, None).is_some() => TaskState::of_status(name, None) == Some(state),
        None => {
            let kind = match state {
                TaskState::Todo => "new",
                TaskState::InProgress | TaskState::BlockedOnHuman => "indeterminate",
                TaskState::Done => "done",
            };
            known["statusCategory"]["key"] == kind
        }
    }
}
