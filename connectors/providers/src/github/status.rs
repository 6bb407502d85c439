//! Issues and pull requests, closed and opened again.

use pipeline::event::{MirrorPlace, TaskState};
use reqwest::Method;
use serde_json::json;

use super::{GitHub, issue_of};
use crate::{
    capability::{
        SetStatus,
        status::{Move, check_untouched},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl SetStatus for GitHub {
    fn set<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, wanted: Move<'a>) -> Asking<'a, String> {
        Box::pin(async move { set(client, issue_of(place)?, wanted).await })
    }
}

/// Opens or closes an issue; `open` or `closed`.
pub(super) async fn set(
    client: &ProviderClient,
    (owner, name, number): (&str, &str, u64),
    Move { status, state, unsure_since_ms }: Move<'_>,
) -> Result<String, ProviderError> {
    let url = client.url(&["repos", owner, name, "issues", &number.to_string()])?;
    let wanted = match status.map(str::to_ascii_lowercase).as_deref() {
        Some("closed") => "closed",
        Some("open" | "reopened") => "open",
        _ if state == TaskState::Done => "closed",
        _ => "open",
    };
    if unsure_since_ms.is_some() {
        let known = client.ask(client.request(Method::GET, url.clone()), None).await?;
        if known["state"] == wanted {
            return Ok(wanted.to_owned());
        }
        let changed = word_at(&known, "/updated_at").and_then(|text| udfs::time::from_rfc3339(&text));
        check_untouched(changed.and_then(|at_ms| u64::try_from(at_ms).ok()), unsure_since_ms)?;
    }
    let reason = if wanted == "closed" { "completed" } else { "reopened" };
    let mut request = client.request(Method::PATCH, url).json(&json!({"state": wanted, "state_reason": reason}));
    // A second time it would undo what somebody did in between.
    request.is_repeatable = false;
    let answer = client.ask(request, None).await?;
    Ok(word_at(&answer, "/state").unwrap_or_else(|| wanted.to_owned()))
}
