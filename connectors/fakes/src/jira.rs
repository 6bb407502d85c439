//! Jira Cloud's REST API v3, below `/jira/rest/api/3`: issues, comments, moves,
//! and the search that has pages but no total.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Fakes, World, auth};

pub(super) fn routes() -> Router<Fakes> {
    let v3 = Router::new()
        .route("/myself", get(myself))
        .route("/project/search", get(projects))
        .route("/issue", post(create_issue))
        .route("/issue/{key}", get(get_issue).put(update_issue))
        .route("/issue/{key}/comment", get(comments).post(create_comment))
        .route("/issue/{key}/comment/{id}", put(update_comment).delete(delete_comment))
        .route("/issue/{key}/transitions", get(transitions).post(transition))
        .route("/search/jql", get(search_by_query).post(search_by_body))
        .route("/search", get(gone).post(gone));
    Router::new().nest("/rest/api/3", v3)
}

/// A good answer with its status, or a refusal.
type Said = Result<(StatusCode, Value), (StatusCode, String)>;

fn answer(fakes: &Fakes, headers: &HeaderMap, say: impl FnOnce(&mut World, u64) -> Said) -> Response {
    let now_ms = fakes.now_ms();
    let mut world = fakes.world();
    let Ok(token) = auth::token(&world, "jira", headers) else {
        let body = json!({"message": "Client must be authenticated to access this resource.", "status-code": 401});
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    };
    if let Some(count) = auth::count(&mut world, "jira", &token, now_ms)
        && count.left.is_none()
    {
        let mut refused = refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded.");
        let seconds = count.reset_ms.saturating_sub(now_ms).div_ceil(1000);
        refused.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        refused.headers_mut().insert("ratelimit-reason", HeaderValue::from_static("jira-quota-tenant-based"));
        return refused;
    }
    match say(&mut world, now_ms) {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, json)) => (status, Json(json)).into_response(),
        Err((status, message)) => refusal(status, &message),
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"errorMessages": [message], "errors": {}}))).into_response()
}

fn missing() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "Issue does not exist or you do not have permission to see it.".to_owned())
}

fn us() -> Value {
    json!({"accountId": "fake-nexus", "accountType": "app", "displayName": "Nexus", "active": true, "emailAddress": "nexus@orchard.example"})
}

/// A time as Jira writes it: with an offset that has no colon.
fn moment(now_ms: u64) -> String {
    udfs::time::to_rfc3339(now_ms as i64).replace('Z', "+0000")
}

async fn gone(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_, _| {
        Err((StatusCode::GONE, "The requested API has been removed. Please use /rest/api/3/search/jql.".to_owned()))
    })
}

async fn myself(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_, _| Ok((StatusCode::OK, us())))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Part {
    start_at: usize,
    max_results: usize,
}

impl Default for Part {
    fn default() -> Self {
        Part { start_at: 0, max_results: 50 }
    }
}

/// Those that have issues.
async fn projects(State(fakes): State<Fakes>, Query(part): Query<Part>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        let key = |issue: &Value| issue["key"].as_str()?.split_once('-').map(|key| key.0.to_owned());
        let keys: std::collections::BTreeSet<String> = world.jira_issues.all().filter_map(key).collect();
        let rows = keys.iter().skip(part.start_at).take(part.max_results);
        let values: Vec<_> =
            rows.map(|key| json!({ "id": key, "key": key, "name": format!("Project {key}") })).collect();
        let is_last = part.start_at + values.len() >= keys.len();
        Ok((
            StatusCode::OK,
            json!({ "values": values, "isLast": is_last, "startAt": part.start_at, "total": keys.len() }),
        ))
    })
}

async fn create_issue(State(fakes): State<Fakes>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        let Some(project) = body["fields"]["project"]["key"].as_str() else {
            return Err((StatusCode::BAD_REQUEST, "project is required".to_owned()));
        };
        let id = (10_000 + world.number()).to_string();
        let prefix = format!("{project}-");
        let is_own = |row: &&Value| row["key"].as_str().is_some_and(|key| key.starts_with(&prefix));
        let key = format!("{prefix}{}", 1 + world.jira_issues.all().filter(is_own).count());
        let mut fields = json!({
            "status": status("To Do"), "created": moment(now_ms), "updated": moment(now_ms), "creator": us(), "reporter": us(),
            "assignee": null, "priority": {"name": "Medium", "id": "3"}, "description": null, "labels": [],
        });
        copy(&body["fields"], &mut fields);
        let own = format!("https://orchard.atlassian.example/rest/api/3/issue/{id}");
        let issue = json!({"id": id, "key": key, "self": own, "fields": fields});
        world.jira_issues.put(&key, issue);
        Ok((StatusCode::CREATED, json!({"id": id, "key": key, "self": own})))
    })
}

fn copy(from: &Value, to: &mut Value) {
    for (name, value) in from.as_object().into_iter().flatten() {
        to[name] = value.clone();
    }
}

fn status(name: &str) -> Value {
    let (id, category) = match name {
        "To Do" => ("1", "new"),
        "Done" => ("3", "done"),
        _ => ("2", "indeterminate"),
    };
    json!({"id": id, "name": name, "statusCategory": {"key": category}})
}

async fn get_issue(State(fakes): State<Fakes>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| Ok((StatusCode::OK, world.jira_issues.get(&key).ok_or_else(missing)?.clone())))
}

async fn update_issue(
    State(fakes): State<Fakes>,
    Path(key): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        let issue = world.jira_issues.get_mut(&key).ok_or_else(missing)?;
        copy(&body["fields"], &mut issue["fields"]);
        issue["fields"]["updated"] = json!(moment(now_ms));
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

async fn comments(State(fakes): State<Fakes>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.jira_issues.get(&key).ok_or_else(missing)?;
        let own: Vec<_> = world.jira_comments.with("issue", &key).collect();
        Ok((StatusCode::OK, json!({"startAt": 0, "maxResults": 5000, "total": own.len(), "comments": own})))
    })
}

async fn create_comment(
    State(fakes): State<Fakes>,
    Path(key): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        world.jira_issues.get(&key).ok_or_else(missing)?;
        // An ADF document; plain text is what v2 took.
        if body["body"]["type"] != "doc" {
            return Err((StatusCode::BAD_REQUEST, "Comment body is not valid!".to_owned()));
        }
        let id = (20_000 + world.number()).to_string();
        let at = moment(now_ms);
        let comment = json!({
            "id": id, "issue": key, "author": us(), "updateAuthor": us(), "body": body["body"], "created": at, "updated": at,
            "properties": body["properties"],
        });
        world.jira_comments.put(&id, comment.clone());
        Ok((StatusCode::CREATED, comment))
    })
}

async fn update_comment(
    State(fakes): State<Fakes>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        let comment = world.jira_comments.get_mut(&id).ok_or_else(missing)?;
        comment["body"] = body["body"].clone();
        comment["updated"] = json!(moment(now_ms));
        Ok((StatusCode::OK, comment.clone()))
    })
}

async fn delete_comment(
    State(fakes): State<Fakes>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.jira_comments.take(&id).ok_or_else(missing)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

const MOVES: &[(&str, &str)] = &[("11", "To Do"), ("21", "In Progress"), ("31", "Done")];

async fn transitions(State(fakes): State<Fakes>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.jira_issues.get(&key).ok_or_else(missing)?;
        let all: Vec<_> = MOVES.iter().map(|(id, name)| json!({"id": id, "name": name, "to": status(name)})).collect();
        Ok((StatusCode::OK, json!({"transitions": all})))
    })
}

async fn transition(
    State(fakes): State<Fakes>,
    Path(key): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        let issue = world.jira_issues.get_mut(&key).ok_or_else(missing)?;
        let wanted = body["transition"]["id"].as_str().unwrap_or_default();
        let Some((_, name)) = MOVES.iter().find(|(id, _)| *id == wanted) else {
            return Err((StatusCode::BAD_REQUEST, format!("Transition id '{wanted}' is not valid for this issue.")));
        };
        issue["fields"]["status"] = status(name);
        issue["fields"]["updated"] = json!(moment(now_ms));
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    #[serde(default)]
    jql: String,
    #[serde(default)]
    next_page_token: Option<String>,
    #[serde(default)]
    max_results: Option<usize>,
    #[serde(default)]
    fields: Fields,
}

/// A list in a body, words with commas in a query.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Fields {
    #[default]
    None,
    Words(String),
    List(Vec<String>),
}

impl Fields {
    fn names(&self) -> Vec<&str> {
        match self {
            Fields::None => Vec::new(),
            Fields::Words(words) => words.split(',').map(str::trim).collect(),
            Fields::List(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

async fn search_by_query(State(fakes): State<Fakes>, Query(search): Query<Search>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| found(world, &search))
}

async fn search_by_body(State(fakes): State<Fakes>, headers: HeaderMap, Json(search): Json<Search>) -> Response {
    answer(&fakes, &headers, |world, _| found(world, &search))
}

/// Of JQL only `project = KEY` is understood; the rest is taken as true.
fn found(world: &World, search: &Search) -> Said {
    if search.jql.trim().is_empty() {
        return Err((StatusCode::BAD_REQUEST, "Unbounded JQL queries are not allowed here.".to_owned()));
    }
    let mut words = search.jql.split(|char: char| char.is_whitespace() || char == '=').filter(|word| !word.is_empty());
    let project = words.find(|word| word.eq_ignore_ascii_case("project")).and_then(|_| words.next());
    let prefix = project.map(|key| format!("{}-", key.trim_matches('"')));
    let is_own = |row: &&Value| {
        prefix.as_deref().is_none_or(|prefix| row["key"].as_str().is_some_and(|key| key.starts_with(prefix)))
    };
    let skip = search.next_page_token.as_deref().and_then(|token| token.parse().ok()).unwrap_or(0);
    let size = search.max_results.unwrap_or(50).clamp(1, 5_000);
    let mut rows: Vec<_> = world.jira_issues.all().filter(is_own).skip(skip).take(size + 1).collect();
    let is_last = rows.len() <= size;
    rows.truncate(size);
    let names = search.fields.names();
    let issues: Vec<_> = rows.into_iter().map(|row| cut(row, &names)).collect();
    let mut page = json!({"issues": issues, "isLast": is_last});
    if !is_last {
        page["nextPageToken"] = json!((skip + size).to_string());
    }
    Ok((StatusCode::OK, page))
}

/// The id alone, unless fields are asked for.
fn cut(row: &Value, names: &[&str]) -> Value {
    if names.is_empty() {
        return json!({"id": row["id"]});
    }
    let all = names.iter().any(|name| matches!(*name, "*all" | "*navigable"));
    let fields = row["fields"].as_object().into_iter().flatten();
    let fields: Map<_, _> = fields
        .filter(|(name, _)| all || names.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({"id": row["id"], "key": row["key"], "self": row["self"], "fields": fields})
}
