//! GitHub's REST API, below `/github`: issues, comments, [`hooks`]. What happens
//! to issues is told to the hooks ([`events`]).

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fakes, World, auth,
    tell::{self, Told},
};

mod events;
mod hooks;

pub(super) use hooks::new_hook;

pub(super) fn routes() -> Router<Fakes> {
    let repository = Router::new()
        .route("/issues", get(issues).post(create_issue))
        .route("/issues/{number}", get(get_issue).patch(update_issue))
        .route("/issues/{number}/comments", get(comments).post(create_comment))
        .route("/issues/comments", get(all_comments))
        .route("/issues/comments/{id}", patch(update_comment).delete(delete_comment))
        .merge(hooks::routes());
    Router::new()
        .route("/user", get(user))
        .route("/user/repos", get(repositories))
        .nest("/repos/{owner}/{name}", repository)
        .fallback(no_route)
}

/// A good answer with its status, or a refusal.
type Said = Result<(StatusCode, Value), (StatusCode, &'static str)>;

fn answer(fakes: &Fakes, headers: &HeaderMap, say: impl FnOnce(&mut World, u64) -> Said) -> Response {
    answer_and_tell(fakes, headers, |world, now_ms, _| say(world, now_ms))
}

fn answer_and_tell(
    fakes: &Fakes,
    headers: &HeaderMap,
    say: impl FnOnce(&mut World, u64, &mut Vec<Told>) -> Said,
) -> Response {
    let mut told = Vec::new();
    let answer = ask(fakes, headers, |world, now_ms| say(world, now_ms, &mut told));
    tell::send_all(fakes, told);
    answer
}

fn ask(fakes: &Fakes, headers: &HeaderMap, say: impl FnOnce(&mut World, u64) -> Said) -> Response {
    let now_ms = fakes.now_ms();
    let mut world = fakes.world();
    let Ok(token) = auth::token(&world, "github", headers) else {
        return refusal(StatusCode::UNAUTHORIZED, "Bad credentials");
    };
    let count = auth::count(&mut world, "github", &token, now_ms);
    let mut said = match count {
        Some(count) if count.left.is_none() => refusal(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1."),
        _ => match say(&mut world, now_ms) {
            Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
            Ok((status, json)) => (status, Json(json)).into_response(),
            Err((status, message)) => refusal(status, message),
        },
    };
    if let Some(count) = count {
        let headers = said.headers_mut();
        let left = count.left.unwrap_or_default();
        headers.insert("x-ratelimit-limit", HeaderValue::from(count.calls_max));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(left));
        headers.insert("x-ratelimit-used", HeaderValue::from(count.calls_max - left));
        headers.insert("x-ratelimit-reset", HeaderValue::from(count.reset_ms.div_ceil(1000)));
        headers.insert("x-ratelimit-resource", HeaderValue::from_static("core"));
    }
    said
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let about = "https://docs.github.com/rest";
    (status, Json(json!({"message": message, "documentation_url": about, "status": status.as_str()}))).into_response()
}

const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "Not Found");
const INVALID: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed");

async fn no_route(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_, _| Err(NOT_FOUND))
}

/// Whose token it is: what the hub does is done by this account.
pub fn us() -> Value {
    json!({"login": "nexus-bot", "id": 1, "type": "Bot", "html_url": "https://github.com/nexus-bot"})
}

/// Somebody else.
pub fn ada() -> Value {
    json!({"login": "ada-novak", "id": 2, "type": "User", "html_url": "https://github.com/ada-novak"})
}

async fn user(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_, _| Ok((StatusCode::OK, us())))
}

/// Those that there is anything of.
async fn repositories(State(fakes): State<Fakes>, Query(page): Query<Page>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        let url = |row: &Value| {
            row["repository_url"].as_str().and_then(|url| url.split_once("/repos/")).map(|url| url.1.to_owned())
        };
        let all = world.github_issues.all().chain(world.github_hooks.all()).filter_map(url);
        let names: std::collections::BTreeSet<String> = all.collect();
        let row = |name: &String| {
            let (owner, bare) = name.split_once('/').unwrap_or(("", name));
            json!({
                "full_name": name, "name": bare, "owner": { "login": owner }, "private": true,
                "html_url": format!("https://github.com/{name}"),
            })
        };
        let rows: Vec<Value> = names.iter().map(row).collect();
        Ok((StatusCode::OK, page.of(rows.iter())))
    })
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "first")]
    page: usize,
    #[serde(default = "thirty")]
    per_page: usize,
}

fn first() -> usize {
    1
}

fn thirty() -> usize {
    30
}

impl Page {
    fn of<'a>(&self, rows: impl Iterator<Item = &'a Value>) -> Value {
        let size = self.per_page.clamp(1, 100);
        json!(rows.skip(self.page.max(1).saturating_sub(1) * size).take(size).collect::<Vec<_>>())
    }
}

/// Owner and name.
pub(super) type Repository = (String, String);

fn key((owner, name): &Repository, rest: &str) -> String {
    format!("{owner}/{name} {rest}")
}

fn of_repository(repository: &Repository, row: &Value) -> bool {
    repository_of(row).is_some_and(|known| known == *repository)
}

/// The repository that an issue or a hook belongs to.
pub(super) fn repository_of(row: &Value) -> Option<Repository> {
    let (_, name) = row["repository_url"].as_str()?.split_once("/repos/")?;
    name.split_once('/').map(|(owner, name)| (owner.to_owned(), name.to_owned()))
}

async fn issues(
    State(fakes): State<Fakes>,
    Path(repository): Path<Repository>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let rows = world.github_issues.all().rev().filter(|row| of_repository(&repository, row));
        Ok((StatusCode::OK, page.of(rows)))
    })
}

async fn create_issue(
    State(fakes): State<Fakes>,
    Path(repository): Path<Repository>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer_and_tell(&fakes, &headers, |world, now_ms, told| {
        let issue = new_issue(world, &repository, &body, &us(), now_ms, told).ok_or(INVALID)?;
        Ok((StatusCode::CREATED, issue))
    })
}

/// GitHub tells whole seconds.
fn at(now_ms: u64) -> Value {
    json!(udfs::time::to_rfc3339(i64::try_from(now_ms).unwrap_or_default() / 1000 * 1000))
}

/// An issue that somebody makes, if it has a title.
pub(super) fn new_issue(
    world: &mut World,
    repository: &Repository,
    body: &Value,
    by: &Value,
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    body["title"].as_str().filter(|title| !title.is_empty())?;
    let (owner, name) = repository;
    let number = 1 + world.github_issues.all().filter(|row| of_repository(repository, row)).count();
    let issue = json!({
        "id": world.number(), "number": number, "title": body["title"], "body": body["body"], "state": "open",
        "state_reason": null, "locked": false, "comments": 0, "user": by, "assignees": [], "labels": [],
        "created_at": at(now_ms), "updated_at": at(now_ms), "closed_at": null, "author_association": "MEMBER",
        "repository_url": format!("https://api.github.com/repos/{owner}/{name}"),
        "html_url": format!("https://github.com/{owner}/{name}/issues/{number}"),
    });
    world.github_issues.put(&key(repository, &number.to_string()), issue.clone());
    told.extend(events::issue(world, "opened", &issue, by, None));
    Some(issue)
}

async fn get_issue(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let issue = world.github_issues.get(&key(&(owner, name), &number)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, issue.clone()))
    })
}

async fn update_issue(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer_and_tell(&fakes, &headers, |world, now_ms, told| {
        let repository = (owner, name);
        let issue = change_issue(world, &repository, &number, &body, &us(), now_ms, told).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, issue))
    })
}

/// An issue that somebody changes, if it is there.
pub(super) fn change_issue(
    world: &mut World,
    repository: &Repository,
    number: &str,
    body: &Value,
    by: &Value,
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    let issue = world.github_issues.get_mut(&key(repository, number))?;
    let before = issue.clone();
    for field in ["title", "body", "state", "state_reason"] {
        if !body[field].is_null() {
            issue[field] = body[field].clone();
        }
    }
    issue["closed_at"] = if issue["state"] == "closed" { at(now_ms) } else { Value::Null };
    issue["updated_at"] = at(now_ms);
    let after = issue.clone();
    if before["state"] != after["state"] {
        let action = if after["state"] == "closed" { "closed" } else { "reopened" };
        told.extend(events::issue(world, action, &after, by, None));
    }
    if before["title"] != after["title"] || before["body"] != after["body"] {
        told.extend(events::issue(world, "edited", &after, by, Some(&before)));
    }
    Some(after)
}

async fn comments(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_issues.get(&key(&(owner.clone(), name.clone()), &number)).ok_or(NOT_FOUND)?;
        let url = issue_url(&owner, &name, &number);
        Ok((StatusCode::OK, page.of(world.github_comments.with("issue_url", &url))))
    })
}

fn issue_url(owner: &str, name: &str, number: &str) -> String {
    format!("https://api.github.com/repos/{owner}/{name}/issues/{number}")
}

async fn create_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer_and_tell(&fakes, &headers, |world, now_ms, told| {
        let repository = (owner, name);
        world.github_issues.get(&key(&repository, &number)).ok_or(NOT_FOUND)?;
        let comment = new_comment(world, &repository, &number, &body["body"], &us(), now_ms, told).ok_or(INVALID)?;
        Ok((StatusCode::CREATED, comment))
    })
}

/// A comment that somebody writes, if there is something to comment, and a word.
pub(super) fn new_comment(
    world: &mut World,
    repository: &Repository,
    number: &str,
    text: &Value,
    by: &Value,
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    text.as_str().filter(|text| !text.is_empty())?;
    let id = world.number();
    let (owner, name) = repository;
    let issue = world.github_issues.get_mut(&key(repository, number))?;
    issue["comments"] = json!(issue["comments"].as_u64().unwrap_or_default() + 1);
    let issue = issue.clone();
    let comment = json!({
        "id": id, "body": text, "user": by, "created_at": at(now_ms), "updated_at": at(now_ms),
        "author_association": "MEMBER", "issue_url": issue_url(owner, name, number),
        "html_url": format!("https://github.com/{owner}/{name}/issues/{number}#issuecomment-{id}"),
    });
    world.github_comments.put(&key(repository, &id.to_string()), comment.clone());
    told.extend(events::comment(world, "created", &issue, &comment, by, None));
    Some(comment)
}

fn issue_of(world: &World, repository: &Repository, comment: &Value) -> Option<Value> {
    let number = comment["issue_url"].as_str()?.rsplit('/').next()?;
    world.github_issues.get(&key(repository, number)).cloned()
}

async fn update_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer_and_tell(&fakes, &headers, |world, now_ms, told| {
        let repository = (owner, name);
        let comment = change_comment(world, &repository, &id, &body["body"], &us(), now_ms, told).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, comment))
    })
}

/// A comment that somebody changes, if it is there.
pub(super) fn change_comment(
    world: &mut World,
    repository: &Repository,
    id: &str,
    text: &Value,
    by: &Value,
    now_ms: u64,
    told: &mut Vec<Told>,
) -> Option<Value> {
    let comment = world.github_comments.get_mut(&key(repository, id))?;
    let before = comment.clone();
    comment["body"] = text.clone();
    comment["updated_at"] = at(now_ms);
    let after = comment.clone();
    let issue = issue_of(world, repository, &after)?;
    told.extend(events::comment(world, "edited", &issue, &after, by, Some(&before)));
    Some(after)
}

async fn delete_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer_and_tell(&fakes, &headers, |world, _, told| {
        drop_comment(world, &(owner, name), &id, &us(), told).ok_or(NOT_FOUND)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

/// A comment that somebody deletes, if it is there.
pub(super) fn drop_comment(
    world: &mut World,
    repository: &Repository,
    id: &str,
    by: &Value,
    told: &mut Vec<Told>,
) -> Option<()> {
    let comment = world.github_comments.take(&key(repository, id))?;
    let issue = issue_of(world, repository, &comment)?;
    told.extend(events::comment(world, "deleted", &issue, &comment, by, None));
    Some(())
}

/// The comments of all issues.
async fn all_comments(
    State(fakes): State<Fakes>,
    Path((owner, name)): Path<Repository>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let beginning = format!("https://api.github.com/repos/{owner}/{name}/issues/");
        let own = |row: &&Value| row["issue_url"].as_str().is_some_and(|url| url.starts_with(&beginning));
        Ok((StatusCode::OK, page.of(world.github_comments.all().filter(own))))
    })
}
