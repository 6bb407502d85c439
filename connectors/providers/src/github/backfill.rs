//! What happened at GitHub: deliveries that did not arrive, whole, as GitHub
//! keeps them for a few days; and issues and comments, where it does not.

use pipeline::event::Project;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{GitHub, hooks::find_hook};
use crate::{
    capability::{
        Backfill, History,
        backfill::{Heard, check_cursor, from_json, to_json},
    },
    client::{ProviderClient, ProviderError, json_of, rows_at, word_at},
    provider::Asking,
};

/// A step of a backfill.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Step {
    /// A page of a hook's deliveries.
    Deliveries { cursor: Option<String> },
    /// A page of a repository's issues.
    Issues { page: u32 },
    /// A page of the comments on them.
    IssueComments { page: u32 },
}

impl Backfill for GitHub {
    fn plan<'a>(&'a self, _history: &'a dyn History, _projects: &'a [&'a Project]) -> Asking<'a, Vec<Value>> {
        let steps = vec![Step::Deliveries { cursor: None }, Step::Issues { page: 1 }, Step::IssueComments { page: 1 }];
        Box::pin(async { Ok(to_json(steps)) })
    }

    fn step<'a>(
        &'a self,
        client: &'a ProviderClient,
        history: &'a mut dyn History,
        step: &'a Value,
    ) -> Asking<'a, Vec<Value>> {
        Box::pin(async move {
            Ok(to_json(match from_json(step)? {
                Step::Deliveries { cursor } => deliveries(client, history, cursor.as_deref()).await?,
                Step::Issues { page } => issues(client, history, page).await?,
                Step::IssueComments { page } => comments(client, history, page).await?,
            }))
        })
    }
}

/// Rows of a page; GitHub's most.
const ROWS_OF_PAGE: usize = 100;

fn repository(client: &ProviderClient) -> Result<(&str, &str), ProviderError> {
    let named = client.external_id.split_once('/');
    named.ok_or_else(|| ProviderError::first("choose_repository", "the connection names no repository"))
}

fn ms_of(text: Option<String>) -> u64 {
    text.and_then(|text| udfs::time::from_rfc3339(&text)).and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
}

/// One page of deliveries; those that did not arrive are fed in as they were.
async fn deliveries(
    client: &ProviderClient,
    history: &mut dyn History,
    cursor: Option<&str>,
) -> Result<Vec<Step>, ProviderError> {
    let (owner, name) = repository(client)?;
    let (own, endpoint) = history.hook().await?;
    // Before there was a hook, nothing was delivered.
    let hook = find_hook(client, (owner, name), own.as_ref(), endpoint.as_deref().unwrap_or_default()).await?;
    let Some(hook) = hook.and_then(|hook| word_at(&hook, "/id")).filter(|_| !history.is_history()) else {
        return Ok(Vec::new());
    };
    let mut query = vec![("per_page", "100")];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let deliveries = ["repos", owner, name, "hooks", &*hook, "deliveries"];
    let answer = client.exchange(Method::GET, &deliveries, &query, None).await?;
    let page = json_of(&answer)?;
    let rows = rows_at(&page, "")?;
    let mut is_over = false;
    for row in rows.iter().rev() {
        is_over |= ms_of(word_at(row, "/delivered_at")) < history.from().as_ms();
        let (Some(id), Some(guid)) = (word_at(row, "/id"), word_at(row, "/guid")) else { continue };
        if ms_of(word_at(row, "/delivered_at")) < history.from().as_ms() || row["event"] == "ping" {
            continue;
        }
        if history.heard("delivery", &guid, "") != Heard::Not {
            continue;
        }
        let whole = client.get(&[&deliveries[..], &[&*id]].concat(), &[]).await?;
        let payload = &whole["request"]["payload"];
        if let (true, Some(event)) = (payload.is_object(), word_at(&whole, "/event")) {
            let headers = [("x-github-event", &*event), ("x-github-delivery", &*guid), ("x-github-hook-id", &*hook)];
            history.feed(payload, &headers, Some(&guid));
            tell(client, history, &event, payload, &guid);
        }
    }
    let next = answer.next.as_deref().and_then(|next| next.parse::<Url>().ok());
    let next =
        next.and_then(|url| url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned()));
    check_cursor(cursor, next.as_deref())?;
    Ok(next.filter(|_| !is_over).map(|cursor| Step::Deliveries { cursor: Some(cursor) }).into_iter().collect())
}

/// One page of issues, and the next.
async fn issues(client: &ProviderClient, history: &mut dyn History, number: u32) -> Result<Vec<Step>, ProviderError> {
    let rows = since(client, history, &["issues"], number).await?;
    let full_name = client.external_id.clone();
    for issue in &rows {
        let Some(id) = word_at(issue, "/number").map(|number| format!("{full_name}#{number}")) else { continue };
        let is_pull = issue["pull_request"].is_object();
        if is_pull || (ms_of(word_at(issue, "/created_at")) < history.from().as_ms()) {
            continue;
        }
        if history.heard("task", &id, "") == Heard::Not {
            let body = json!({
                "action": "opened", "issue": issue, "repository": described(&full_name), "sender": issue["user"],
            });
            history.feed(&body, &[("x-github-event", "issues")], None);
            history.tell("task", &id, "");
        }
    }
    Ok((rows.len() >= ROWS_OF_PAGE).then_some(Step::Issues { page: number + 1 }).into_iter().collect())
}

/// One page of comments on them, and the next.
async fn comments(client: &ProviderClient, history: &mut dyn History, number: u32) -> Result<Vec<Step>, ProviderError> {
    let rows = since(client, history, &["issues", "comments"], number).await?;
    let full_name = client.external_id.clone();
    for comment in &rows {
        let (Some(id), Some(issue_url)) = (word_at(comment, "/id"), word_at(comment, "/issue_url")) else { continue };
        let is_old = ms_of(word_at(comment, "/created_at")) < history.from().as_ms();
        if is_old || history.heard("comment", &id, "") != Heard::Not {
            continue;
        }
        let number = issue_url.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { continue };
        let body = json!({
            "action": "created", "issue": { "number": number }, "comment": comment,
            "repository": described(&full_name), "sender": comment["user"],
        });
        history.feed(&body, &[("x-github-event", "issue_comment")], None);
        history.tell("comment", &id, "");
    }
    Ok((rows.len() >= ROWS_OF_PAGE).then_some(Step::IssueComments { page: number + 1 }).into_iter().collect())
}

/// What a delivery tells of need not be found by asking, too.
fn tell(client: &ProviderClient, history: &mut dyn History, event: &str, payload: &Value, guid: &str) {
    history.tell("delivery", guid, "");
    let id = match (event, payload["action"].as_str()) {
        ("issues", Some("opened")) => word_at(payload, "/issue/number"),
        ("issue_comment", Some("created")) => word_at(payload, "/comment/id"),
        _ => None,
    };
    match (event, id) {
        ("issues", Some(number)) => history.tell("task", &format!("{}#{number}", client.external_id), ""),
        (_, Some(id)) => history.tell("comment", &id, ""),
        _ => {}
    }
}

async fn since(
    client: &ProviderClient,
    history: &dyn History,
    what: &[&str],
    number: u32,
) -> Result<Vec<Value>, ProviderError> {
    let (owner, name) = repository(client)?;
    let (since, number) = (history.from().to_string(), number.to_string());
    let query = [
        ("since", &*since),
        ("state", "all"),
        ("sort", "updated"),
        ("direction", "asc"),
        ("per_page", "100"),
        ("page", &*number),
    ];
    let page = client.get(&[&["repos", owner, name][..], what].concat(), &query).await?;
    Ok(rows_at(&page, "")?.to_vec())
}

fn described(full_name: &str) -> Value {
    let name = full_name.rsplit('/').next().unwrap_or_default();
    json!({ "full_name": full_name, "name": name, "html_url": format!("https://github.com/{full_name}") })
}
