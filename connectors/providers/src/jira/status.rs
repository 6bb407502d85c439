//! Issues, moved along their workflow.

use pipeline::event::{MirrorPlace, TaskState};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Jira, api::API, find::moment, issue_of};
use crate::{
    capability::{
        SetStatus,
        status::{Move, check_untouched},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl SetStatus for Jira {
    fn set<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, wanted: Move<'a>) -> Asking<'a, String> {
        Box::pin(async move { set(client, issue_of(place)?, wanted).await })
    }
}

/// Moves an issue; the status it has now, in the workflow's word.
pub(super) async fn set(
    client: &ProviderClient,
    issue: &str,
    Move { status, state, unsure_since_ms }: Move<'_>,
) -> Result<String, ProviderError> {
    let [rest, api, version] = API;
    let mut url = client.url(&[rest, api, version, "issue", issue])?;
    url.query_pairs_mut().append_pair("fields", "status,updated");
    // A workflow may have no move from a status to itself.
    let known = client.ask(client.request(Method::GET, url), None).await?;
    if fits(&known["fields"]["status"], status, state) {
        return Ok(word_at(&known, "/fields/status/name").unwrap_or_default());
    }
    check_untouched(word_at(&known, "/fields/updated").and_then(|text| moment(&text)), unsure_since_ms)?;
    let url = client.url(&[rest, api, version, "issue", issue, "transitions"])?;
    let moves = client.ask(client.request(Method::GET, url.clone()), None).await?;
    let moves = moves["transitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let chosen = moves.iter().find(|step| fits(&step["to"], status, state));
    let chosen = chosen.and_then(|step| Some((word_at(step, "/id")?, word_at(step, "/to/name")?)));
    let Some((id, name)) = chosen else {
        return Err(ProviderError::rejected("the issue's workflow has no move there from where it is"));
    };
    let request = client.request(Method::POST, url).json(&json!({"transition": {"id": id}}));
    client.ask(request, None).await?;
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
