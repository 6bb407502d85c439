//! What happened at GitHub: deliveries that did not arrive, whole, as GitHub
//! keeps them for a few days; and issues and comments, where it does not.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::{
    super::way::{Halt, Way, json_of, rows_at, word_at},
    Step, Work,
    known::Heard,
};

/// Rows of a page; GitHub's most.
const ROWS_OF_PAGE: usize = 100;

fn repository<'w>(way: &'w Way<'_>) -> Result<(&'w str, &'w str), Halt> {
    let named = way.link.external_id.split_once('/');
    named.ok_or_else(|| Halt::First("choose_repository", "the connection names no repository".to_owned()))
}

fn ms_of(text: Option<String>) -> u64 {
    text.and_then(|text| udfs::time::from_rfc3339(&text)).and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default()
}

/// One page of deliveries; those that did not arrive are fed in as they were.
pub(super) async fn deliveries(work: &mut Work<'_>, cursor: Option<&str>) -> Result<Vec<Step>, Halt> {
    let way = work.way;
    let (owner, name) = repository(way)?;
    let own = work.office.own_hook(way.tenant, way.id).await?;
    let endpoint = work.office.public_url().map(|url| format!("{url}/webhooks/github")).unwrap_or_default();
    // Before there was a hook, nothing was delivered.
    let hook = work.office.github_hook(work.way, (owner, name), own.as_ref(), &endpoint).await?;
    let Some(hook) = hook.and_then(|hook| word_at(&hook, "/id")).filter(|_| !work.is_history) else {
        return Ok(Vec::new());
    };
    let mut query = vec![("per_page", "100")];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let deliveries = ["repos", owner, name, "hooks", &*hook, "deliveries"];
    let answer = work.way.exchange(Method::GET, &deliveries, &query, None).await?;
    let page = json_of(&answer)?;
    let rows = rows_at(&page, "")?;
    let mut is_over = false;
    for row in rows.iter().rev() {
        is_over |= ms_of(word_at(row, "/delivered_at")) < work.from.as_ms();
        let (Some(id), Some(guid)) = (word_at(row, "/id"), word_at(row, "/guid")) else { continue };
        if ms_of(word_at(row, "/delivered_at")) < work.from.as_ms() || row["event"] == "ping" {
            continue;
        }
        if work.known.heard("delivery", &guid, "") != Heard::Not {
            continue;
        }
        let whole = work.way.get(&[&deliveries[..], &[&*id]].concat(), &[]).await?;
        let payload = &whole["request"]["payload"];
        if let (true, Some(event)) = (payload.is_object(), word_at(&whole, "/event")) {
            let headers = [("x-github-event", &*event), ("x-github-delivery", &*guid), ("x-github-hook-id", &*hook)];
            work.feed.put_at(payload, &headers, Some(&guid));
            tell(work, &event, payload, &guid);
        }
    }
    let next = answer.next.as_deref().and_then(|next| next.parse::<Url>().ok());
    let next =
        next.and_then(|url| url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned()));
    if next.is_some() && next.as_deref() == cursor {
        return Err(Halt::nonsense("the provider gave the same page token twice"));
    }
    Ok(next.filter(|_| !is_over).map(|cursor| Step::Deliveries { cursor: Some(cursor) }).into_iter().collect())
}

/// One page of issues, and the next.
pub(super) async fn issues(work: &mut Work<'_>, number: u32) -> Result<Vec<Step>, Halt> {
    let rows = since(work, &["issues"], number).await?;
    let full_name = work.way.link.external_id.clone();
    for issue in &rows {
        let Some(id) = word_at(issue, "/number").map(|number| format!("{full_name}#{number}")) else { continue };
        let is_pull = issue["pull_request"].is_object();
        if is_pull || (ms_of(word_at(issue, "/created_at")) < work.from.as_ms()) {
            continue;
        }
        if work.known.heard("task", &id, "") == Heard::Not {
            let body = json!({
                "action": "opened", "issue": issue, "repository": described(&full_name), "sender": issue["user"],
            });
            work.feed.put(&body, &[("x-github-event", "issues")]);
            work.known.tell("task", &id, "");
        }
    }
    Ok((rows.len() >= ROWS_OF_PAGE).then_some(Step::Issues { page: number + 1 }).into_iter().collect())
}

/// One page of comments on them, and the next.
pub(super) async fn comments(work: &mut Work<'_>, number: u32) -> Result<Vec<Step>, Halt> {
    let rows = since(work, &["issues", "comments"], number).await?;
    let full_name = work.way.link.external_id.clone();
    for comment in &rows {
        let (Some(id), Some(issue_url)) = (word_at(comment, "/id"), word_at(comment, "/issue_url")) else { continue };
        let is_old = ms_of(word_at(comment, "/created_at")) < work.from.as_ms();
        if is_old || work.known.heard("comment", &id, "") != Heard::Not {
            continue;
        }
        let number = issue_url.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        let Some(number) = number else { continue };
        let body = json!({
            "action": "created", "issue": { "number": number }, "comment": comment,
            "repository": described(&full_name), "sender": comment["user"],
        });
        work.feed.put(&body, &[("x-github-event", "issue_comment")]);
        work.known.tell("comment", &id, "");
    }
    Ok((rows.len() >= ROWS_OF_PAGE).then_some(Step::IssueComments { page: number + 1 }).into_iter().collect())
}

/// What a delivery tells of need not be found by asking, too.
fn tell(work: &mut Work<'_>, event: &str, payload: &Value, guid: &str) {
    work.known.tell("delivery", guid, "");
    let id = match (event, payload["action"].as_str()) {
        ("issues", Some("opened")) => word_at(payload, "/issue/number"),
        ("issue_comment", Some("created")) => word_at(payload, "/comment/id"),
        _ => None,
    };
    match (event, id) {
        ("issues", Some(number)) => work.known.tell("task", &format!("{}#{number}", work.way.link.external_id), ""),
        (_, Some(id)) => work.known.tell("comment", &id, ""),
        _ => {}
    }
}

async fn since(work: &Work<'_>, what: &[&str], number: u32) -> Result<Vec<Value>, Halt> {
    let (owner, name) = repository(work.way)?;
    let (since, number) = (work.from.to_string(), number.to_string());
    let query = [
        ("since", &*since),
        ("state", "all"),
        ("sort", "updated"),
        ("direction", "asc"),
        ("per_page", "100"),
        ("page", &*number),
    ];
    let page = work.way.get(&[&["repos", owner, name][..], what].concat(), &query).await?;
    Ok(rows_at(&page, "")?.to_vec())
}

fn described(full_name: &str) -> Value {
    let name = full_name.rsplit('/').next().unwrap_or_default();
    json!({ "full_name": full_name, "name": name, "html_url": format!("https://github.com/{full_name}") })
}
