//! GitHub's REST API, below `/github`: issues, comments, hooks, deliveries.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fakes, World, auth};

pub(super) fn routes() -> Router<Fakes> {
    let repository = Router::new()
        .route("/issues", get(issues).post(create_issue))
        .route("/issues/{number}", get(get_issue).patch(update_issue))
        .route("/issues/{number}/comments", get(comments).post(create_comment))
        .route("/issues/comments", get(all_comments))
        .route("/issues/comments/{id}", patch(update_comment).delete(delete_comment))
        .route("/hooks", get(hooks).post(create_hook))
        .route("/hooks/{id}", get(get_hook).patch(update_hook).delete(delete_hook))
        .route("/hooks/{id}/deliveries", get(deliveries))
        .route("/hooks/{id}/deliveries/{delivery}", get(delivery))
        .route("/hooks/{id}/deliveries/{delivery}/attempts", post(attempt));
    Router::new()
        .route("/user", get(user))
        .route("/user/repos", get(repositories))
        .nest("/repos/{owner}/{name}", repository)
        .fallback(no_route)
}

/// A good answer with its status, or a refusal.
type Said = Result<(StatusCode, Value), (StatusCode, &'static str)>;

fn answer(fakes: &Fakes, headers: &HeaderMap, say: impl FnOnce(&mut World, u64) -> Said) -> Response {
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

fn us() -> Value {
    json!({"login": "nexus-bot", "id": 1, "type": "Bot", "html_url": "https://github.com/nexus-bot"})
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

type Repository = (String, String);

fn key((owner, name): &Repository, rest: &str) -> String {
    format!("{owner}/{name} {rest}")
}

fn of_repository((owner, name): &Repository, row: &Value) -> bool {
    row["repository_url"].as_str().is_some_and(|url| url.ends_with(&format!("/repos/{owner}/{name}")))
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
    answer(&fakes, &headers, |world, now_ms| {
        if body["title"].as_str().is_none_or(str::is_empty) {
            return Err(INVALID);
        }
        let (owner, name) = &repository;
        let number = 1 + world.github_issues.all().filter(|row| of_repository(&repository, row)).count();
        let at = udfs::time::to_rfc3339(now_ms as i64 / 1000 * 1000);
        let issue = json!({
            "id": world.number(), "number": number, "title": body["title"], "body": body["body"], "state": "open",
            "state_reason": null, "locked": false, "comments": 0, "user": us(), "assignees": [], "labels": [],
            "created_at": at, "updated_at": at, "closed_at": null, "author_association": "MEMBER",
            "repository_url": format!("https://api.github.com/repos/{owner}/{name}"),
            "html_url": format!("https://github.com/{owner}/{name}/issues/{number}"),
        });
        world.github_issues.put(&key(&repository, &number.to_string()), issue.clone());
        Ok((StatusCode::CREATED, issue))
    })
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
    answer(&fakes, &headers, |world, now_ms| {
        let issue = world.github_issues.get_mut(&key(&(owner, name), &number)).ok_or(NOT_FOUND)?;
        for field in ["title", "body", "state", "state_reason"] {
            if !body[field].is_null() {
                issue[field] = body[field].clone();
            }
        }
        let at = udfs::time::to_rfc3339(now_ms as i64 / 1000 * 1000);
        issue["closed_at"] = if issue["state"] == "closed" { json!(at) } else { Value::Null };
        issue["updated_at"] = json!(at);
        Ok((StatusCode::OK, issue.clone()))
    })
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
    answer(&fakes, &headers, |world, now_ms| {
        let id = world.number();
        let issue = world.github_issues.get_mut(&key(&(owner.clone(), name.clone()), &number)).ok_or(NOT_FOUND)?;
        if body["body"].as_str().is_none_or(str::is_empty) {
            return Err(INVALID);
        }
        issue["comments"] = json!(issue["comments"].as_u64().unwrap_or_default() + 1);
        let at = udfs::time::to_rfc3339(now_ms as i64 / 1000 * 1000);
        let comment = json!({
            "id": id, "body": body["body"], "user": us(), "created_at": at, "updated_at": at,
            "author_association": "MEMBER", "issue_url": issue_url(&owner, &name, &number),
            "html_url": format!("https://github.com/{owner}/{name}/issues/{number}#issuecomment-{id}"),
        });
        world.github_comments.put(&key(&(owner, name), &id.to_string()), comment.clone());
        Ok((StatusCode::CREATED, comment))
    })
}

async fn update_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, now_ms| {
        let comment = world.github_comments.get_mut(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        comment["body"] = body["body"].clone();
        comment["updated_at"] = json!(udfs::time::to_rfc3339(now_ms as i64 / 1000 * 1000));
        Ok((StatusCode::OK, comment.clone()))
    })
}

async fn delete_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_comments.take(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

async fn hooks(State(fakes): State<Fakes>, Path(repository): Path<Repository>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        let own: Vec<_> = world.github_hooks.all().filter(|row| of_repository(&repository, row)).map(shown).collect();
        Ok((StatusCode::OK, json!(own)))
    })
}

async fn create_hook(
    State(fakes): State<Fakes>,
    Path(repository): Path<Repository>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        if !body["config"]["url"].is_string() {
            return Err(INVALID);
        }
        let id = world.number();
        let (owner, name) = &repository;
        let hook = json!({
            "type": "Repository", "id": id, "name": "web", "active": true, "events": body["events"], "config": body["config"],
            "repository_url": format!("https://api.github.com/repos/{owner}/{name}"),
        });
        world.github_hooks.put(&key(&repository, &id.to_string()), hook.clone());
        Ok((StatusCode::CREATED, shown(&hook)))
    })
}

async fn get_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, shown(hook)))
    })
}

async fn update_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = world.github_hooks.get_mut(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        for field in ["active", "events", "config"] {
            if !body[field].is_null() {
                hook[field] = body[field].clone();
            }
        }
        Ok((StatusCode::OK, shown(hook)))
    })
}

async fn delete_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.take(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
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

/// As the API shows it: the secret is not told again.
fn shown(hook: &Value) -> Value {
    let mut hook = hook.clone();
    if !hook["config"]["secret"].is_null() {
        hook["config"]["secret"] = json!("********");
    }
    if let Some(fields) = hook.as_object_mut() {
        fields.remove("repository_url");
    }
    hook
}

async fn deliveries(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = key(&(owner, name), &id);
        world.github_hooks.get(&hook).ok_or(NOT_FOUND)?;
        let own: Vec<_> = world.github_deliveries.with("hook", &hook).rev().collect();
        Ok((StatusCode::OK, json!(own)))
    })
}

/// One delivery, with what was sent.
async fn delivery(
    State(fakes): State<Fakes>,
    Path((owner, name, id, delivery)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        let row = world.github_deliveries.get(&delivery).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, row.clone()))
    })
}

/// Asks for a delivery once more; that it was asked for is what is kept.
async fn attempt(
    State(fakes): State<Fakes>,
    Path((owner, name, id, delivery)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        let row = world.github_deliveries.get_mut(&delivery).ok_or(NOT_FOUND)?;
        row["redelivery"] = json!(true);
        Ok((StatusCode::ACCEPTED, json!({})))
    })
}
