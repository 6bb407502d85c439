//! ClickUp's API v2, below `/clickup/api/v2`: tasks, lists, comments, webhooks.
//!
//! What is changed here is told to the webhooks that want to hear of it, as the
//! real one does.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Fakes, World, auth, hooks, limits::Count, tell, world::CLICKUP_TEAM};

mod rows;
mod webhooks;

pub use rows::{ada, change, list, new_comment, new_task, us, uuid, webhook};

/// Tasks and comments of a page, as the real one has them.
const TASKS_OF_PAGE: usize = 100;
const COMMENTS_OF_PAGE: usize = 25;

pub(super) fn routes() -> Router<Fakes> {
    let v2 = Router::new()
        .route("/user", get(user))
        .route("/team", get(teams))
        .route("/oauth/token", post(token))
        .route("/team/{team}/space", get(spaces))
        .route("/space/{id}/folder", get(folders))
        .route("/space/{id}/list", get(lists_alone))
        .route("/list/{id}", get(get_list))
        .route("/list/{id}/task", get(tasks).post(create_task))
        .route("/task/{id}", get(get_task).put(update_task).delete(delete_task))
        .route("/task/{id}/comment", get(comments).post(create_comment))
        .route("/comment/{id}", put(update_comment).delete(delete_comment))
        .merge(webhooks::routes())
        .fallback(no_route);
    Router::new().nest("/api/v2", v2)
}

/// An answer with the limit's headers, or the refusal of a bad token or of one
/// call too many.
struct Asked(Count);

impl Asked {
    fn check(fakes: &Fakes, headers: &HeaderMap) -> Result<Asked, Box<Response>> {
        let mut world = fakes.world();
        let token = auth::token(&world, "clickup", headers).map_err(|bad| match bad {
            auth::Bad::Missing => refusal(StatusCode::UNAUTHORIZED, "Authorization header required", "OAUTH_017"),
            auth::Bad::Unknown => refusal(StatusCode::UNAUTHORIZED, "Token invalid", "OAUTH_025"),
        });
        let now_ms = fakes.now_ms();
        let token = token.map_err(Box::new)?;
        let unlimited = Count { calls_max: 100, left: Some(99), reset_ms: now_ms };
        let asked = Asked(auth::count(&mut world, "clickup", &token, now_ms).unwrap_or(unlimited));
        match asked.0.left {
            Some(_) => Ok(asked),
            None => {
                let refused = refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit reached", "APP_002");
                Err(Box::new(asked.tell(refused)))
            }
        }
    }

    fn tell(&self, mut answer: Response) -> Response {
        let Count { calls_max, left, reset_ms } = self.0;
        let headers = answer.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(calls_max));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(left.unwrap_or_default()));
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset_ms.div_ceil(1000)));
        answer
    }
}

/// A good answer or a refusal.
type Said = Result<Value, Response>;

fn answer(fakes: &Fakes, headers: &HeaderMap, say: impl FnOnce(&mut World) -> Said) -> Response {
    match Asked::check(fakes, headers) {
        Ok(asked) => {
            asked.tell(say(&mut fakes.world()).map_or_else(|refused| refused, |json| Json(json).into_response()))
        }
        Err(refused) => *refused,
    }
}

fn refusal(status: StatusCode, err: &str, code: &str) -> Response {
    (status, Json(json!({"err": err, "ECODE": code}))).into_response()
}

fn not_found(what: &str) -> Response {
    let code = if what == "Task" { "ITEM_013" } else { "ITEM_015" };
    refusal(StatusCode::NOT_FOUND, &format!("{what} not found, deleted"), code)
}

async fn no_route(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_| Err(refusal(StatusCode::NOT_FOUND, "Route not found", "APP_001")))
}

async fn user(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |_| Ok(json!({"user": us()})))
}

async fn teams(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    let members = json!([{"user": us()}, {"user": ada()}]);
    let team = json!({"id": CLICKUP_TEAM, "name": "Orchard", "color": "#536cfe", "avatar": null, "members": members});
    answer(&fakes, &headers, |_| Ok(json!({"teams": [team]})))
}

async fn token(State(fakes): State<Fakes>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    let said = super::oauth::exchange(&mut fakes.world(), "clickup", &super::oauth::fields(&headers, &body));
    match said["error"].as_str() {
        Some(error) => refusal(StatusCode::UNAUTHORIZED, error, "OAUTH_014"),
        None => Json(said).into_response(),
    }
}

/// The spaces that lists are in.
async fn spaces(State(fakes): State<Fakes>, Path(team): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| {
        if team != CLICKUP_TEAM {
            return Err(not_found("Team"));
        }
        let mut spaces: Vec<Value> = Vec::new();
        for space in world.clickup_lists.all().map(|list| &list["space"]) {
            if !spaces.iter().any(|known| known["id"] == space["id"]) {
                spaces.push(space.clone());
            }
        }
        Ok(json!({ "spaces": spaces }))
    })
}

fn is_alone(list: &Value) -> bool {
    list["folder"]["hidden"] == true || list["folder"].is_null()
}

/// The folders of a space, with their lists.
async fn folders(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| {
        let own = || world.clickup_lists.all().filter(|list| list["space"]["id"] == id.as_str() && !is_alone(list));
        let mut folders: Vec<Value> = Vec::new();
        for list in own() {
            if folders.iter().any(|known| known["id"] == list["folder"]["id"]) {
                continue;
            }
            let mut folder = list["folder"].clone();
            folder["lists"] = own().filter(|other| other["folder"]["id"] == folder["id"]).cloned().collect();
            folders.push(folder);
        }
        Ok(json!({ "folders": folders }))
    })
}

/// The lists of a space that are in no folder.
async fn lists_alone(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| {
        let own = world.clickup_lists.all().filter(|list| list["space"]["id"] == id.as_str() && is_alone(list));
        Ok(json!({ "lists": own.collect::<Vec<_>>() }))
    })
}

async fn get_list(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| world.clickup_lists.get(&id).cloned().ok_or_else(|| not_found("List")))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    page: usize,
}

async fn tasks(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    Query(Page { page }): Query<Page>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world| {
        world.clickup_lists.get(&id).ok_or_else(|| not_found("List"))?;
        // The newest first, as theirs.
        let of_list = world.clickup_tasks.all().rev().filter(|task| task["list"]["id"] == id.as_str());
        let tasks: Vec<_> = of_list.skip(page * TASKS_OF_PAGE).take(TASKS_OF_PAGE + 1).collect();
        let last_page = tasks.len() <= TASKS_OF_PAGE;
        Ok(json!({"tasks": tasks[..tasks.len().min(TASKS_OF_PAGE)], "last_page": last_page}))
    })
}

async fn create_task(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let now_ms = fakes.now_ms();
    let mut told = Vec::new();
    let said = answer(&fakes, &headers, |world| {
        if body["name"].as_str().is_none_or(str::is_empty) {
            return Err(refusal(StatusCode::BAD_REQUEST, "Task name invalid", "INPUT_005"));
        }
        let task = new_task(world, &id, &body, now_ms).ok_or_else(|| not_found("List"))?;
        told = hooks::created(world, &task, &us(), now_ms);
        Ok(task)
    });
    tell::send_all(&fakes, told);
    said
}

async fn get_task(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| world.clickup_tasks.get(&id).cloned().ok_or_else(|| not_found("Task")))
}

async fn update_task(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let now_ms = fakes.now_ms();
    let mut told = Vec::new();
    let said = answer(&fakes, &headers, |world| {
        let before = world.clickup_tasks.get(&id).cloned().ok_or_else(|| not_found("Task"))?;
        let mut after = before.clone();
        change(&mut after, &body, now_ms).map_err(|err| refusal(StatusCode::BAD_REQUEST, err, "ITEM_114"))?;
        world.clickup_tasks.put(&id, after.clone());
        told = hooks::updated(world, &before, &after, &us(), now_ms);
        Ok(after)
    });
    tell::send_all(&fakes, told);
    said
}

async fn delete_task(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let mut told = Vec::new();
    let said = answer(&fakes, &headers, |world| {
        world.clickup_tasks.take(&id).ok_or_else(|| not_found("Task"))?;
        told = hooks::deleted(world, &id);
        Ok(json!({}))
    });
    tell::send_all(&fakes, told);
    said
}

#[derive(Deserialize)]
struct CommentsFrom {
    start_id: Option<String>,
}

async fn comments(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    Query(from): Query<CommentsFrom>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world| {
        world.clickup_tasks.get(&id).ok_or_else(|| not_found("Task"))?;
        let newest_first = world.clickup_comments.with("task_id", &id).rev();
        let start = from.start_id;
        let after =
            newest_first.skip_while(|comment| start.as_ref().is_some_and(|start| comment["id"] != start.as_str()));
        let page: Vec<_> = after.skip(usize::from(start.is_some())).take(COMMENTS_OF_PAGE).map(without_task).collect();
        Ok(json!({"comments": page}))
    })
}

async fn create_comment(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let now_ms = fakes.now_ms();
    let mut told = Vec::new();
    let said = answer(&fakes, &headers, |world| {
        let Some((text, blocks)) = said(&body).filter(|(text, _)| !text.is_empty()) else {
            return Err(refusal(StatusCode::BAD_REQUEST, "Comment text required", "COMM_001"));
        };
        let comment = new_comment(world, &id, &text, &us(), now_ms).ok_or_else(|| not_found("Task"))?;
        let comment = match world.clickup_comments.get_mut(comment["id"].as_str().unwrap_or_default()) {
            Some(kept) => {
                kept["comment"] = blocks;
                kept.clone()
            }
            None => comment,
        };
        told = hooks::commented(world, "taskCommentPosted", &comment, &us(), now_ms);
        let (id, history) = (&comment["id"], &comment["hist_id"]);
        Ok(json!({"id": id.as_str().and_then(|id| id.parse::<u64>().ok()), "hist_id": history, "date": now_ms}))
    });
    tell::send_all(&fakes, told);
    said
}

async fn update_comment(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let now_ms = fakes.now_ms();
    let mut told = Vec::new();
    let said = answer(&fakes, &headers, |world| {
        let comment = world.clickup_comments.get_mut(&id).ok_or_else(|| not_found("Comment"))?;
        if let Some((text, blocks)) = said(&body) {
            comment["comment_text"] = json!(text);
            comment["comment"] = blocks;
        }
        let comment = comment.clone();
        told = hooks::commented(world, "taskCommentUpdated", &comment, &us(), now_ms);
        Ok(json!({}))
    });
    tell::send_all(&fakes, told);
    said
}

/// What a comment says, and as which blocks: as text, or as blocks.
fn said(body: &Value) -> Option<(String, Value)> {
    if let Some(text) = body["comment_text"].as_str() {
        return Some((text.to_owned(), json!([{"text": text, "attributes": {}}])));
    }
    let blocks = body["comment"].as_array()?;
    let text = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    Some((text, body["comment"].clone()))
}

/// Nobody is told: the real one sends nothing of it either.
async fn delete_comment(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| {
        world.clickup_comments.take(&id).map(|_| json!({})).ok_or_else(|| not_found("Comment"))
    })
}

fn without_task(comment: &Value) -> Value {
    let mut comment = comment.clone();
    if let Some(fields) = comment.as_object_mut() {
        fields.remove("task_id");
        fields.remove("hist_id");
    }
    comment
}
