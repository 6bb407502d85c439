//! What people do at the providers: they write, change and delete, in Slack, at
//! ClickUp and GitHub, as whom the request says. Everybody is told of it as of
//! anything that happens there.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{patch, post, put},
};
use serde_json::{Value, json};

use super::{
    Fakes, World,
    admin::missing,
    clickup, github, hooks, slack, slack_events,
    tell::{self, Told},
    world::SLACK_TEAM,
};
use runtime::identity::random_hex;

pub(super) fn routes() -> Router<Fakes> {
    let issue = "/github/{owner}/{name}/issues/{number}";
    Router::new()
        .route("/slack/apps", post(listen))
        .route("/slack/channels/{channel}/messages", post(say))
        .route("/slack/channels/{channel}/messages/{ts}", put(reword).delete(unsay))
        .route("/clickup/comments/{id}", put(change_comment).delete(drop_comment))
        .route("/github/{owner}/{name}/hooks", post(add_hook))
        .route("/github/{owner}/{name}/issues", post(open_issue))
        .route(issue, patch(change_issue))
        .route(&format!("{issue}/comments"), post(comment_issue))
        .route("/github/{owner}/{name}/comments/{id}", put(change_issue_comment).delete(drop_issue_comment))
}

/// Does it, tells everybody, and answers with what came of it.
fn done(fakes: &Fakes, what: &str, work: impl FnOnce(&mut World, u64, &mut Vec<Told>) -> Option<Value>) -> Response {
    let (now_ms, mut told) = (fakes.now_ms(), Vec::new());
    let done = work(&mut fakes.world(), now_ms, &mut told);
    tell::send_all(fakes, told);
    match done {
        Some(json) => Json(json).into_response(),
        None => missing(what),
    }
}

fn text(body: &Value) -> &str {
    body["text"].as_str().unwrap_or_default()
}

/// An app hears of all messages: `{endpoint, secret, teamId}`.
async fn listen(State(fakes): State<Fakes>, Json(body): Json<Value>) -> Response {
    let field = |name: &str| body[name].as_str().unwrap_or_default();
    let app = slack_events::app(field("teamId"), field("endpoint"), field("secret"));
    fakes.world().slack_apps.put(field("endpoint"), app.clone());
    (StatusCode::CREATED, Json(app)).into_response()
}

/// Somebody says something: `{text, user?, threadTs?}`; Ada, if it does not say
/// who.
async fn say(State(fakes): State<Fakes>, Path(channel): Path<String>, Json(body): Json<Value>) -> Response {
    done(&fakes, "channel", |world, now_ms, told| {
        world.slack_channels.get(&channel)?;
        let user = body["user"].as_str().unwrap_or("U0ADA");
        let mut message = json!({"type": "message", "user": user, "text": text(&body), "team": SLACK_TEAM});
        message["client_msg_id"] = json!(random_hex());
        if !body["threadTs"].is_null() {
            message["thread_ts"] = body["threadTs"].clone();
        }
        Some(slack::say(world, &channel, message, now_ms, told))
    })
}

/// Its author says something else: `{text}`.
async fn reword(
    State(fakes): State<Fakes>,
    Path((channel, ts)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "message", |world, now_ms, told| {
        let by = world.slack_messages.get(&format!("{channel} {ts}"))?["user"].as_str().unwrap_or("U0ADA").to_owned();
        slack::reword(world, (&channel, &ts), &[("text", &body["text"])], &by, now_ms, told)
    })
}

/// Somebody deletes it.
async fn unsay(State(fakes): State<Fakes>, Path((channel, ts)): Path<(String, String)>) -> Response {
    done(&fakes, "message", |world, now_ms, told| slack::unsay(world, (&channel, &ts), now_ms, told))
}

/// Ada changes a comment at ClickUp, whoever wrote it: `{text}`.
async fn change_comment(State(fakes): State<Fakes>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    done(&fakes, "comment", |world, now_ms, told| {
        let comment = world.clickup_comments.get_mut(&id)?;
        comment["comment_text"] = json!(text(&body));
        comment["comment"] = json!([{"text": text(&body), "attributes": {}}]);
        let comment = comment.clone();
        told.extend(hooks::commented(world, "taskCommentUpdated", &comment, &clickup::ada(), now_ms));
        Some(comment)
    })
}

/// Somebody deletes a comment at ClickUp, which tells nobody.
async fn drop_comment(State(fakes): State<Fakes>, Path(id): Path<String>) -> Response {
    done(&fakes, "comment", |world, _, _| world.clickup_comments.take(&id))
}

/// A repository's hook, as the hub already knows it: `{endpoint, secret}`.
async fn add_hook(
    State(fakes): State<Fakes>,
    Path(repository): Path<github::Repository>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "endpoint", |world, _, _| {
        body["endpoint"].as_str()?;
        let config = json!({"url": body["endpoint"], "secret": body["secret"], "content_type": "json"});
        Some(github::new_hook(world, &repository, &config, &json!(["*"])))
    })
}

/// Ada opens an issue: `{title, body?}`.
async fn open_issue(
    State(fakes): State<Fakes>,
    Path(repository): Path<github::Repository>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "title", |world, now_ms, told| {
        github::new_issue(world, &repository, &body, &github::ada(), now_ms, told)
    })
}

/// Ada changes an issue: `{title?, body?, state?}`.
async fn change_issue(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "issue", |world, now_ms, told| {
        github::change_issue(world, &(owner, name), &number, &body, &github::ada(), now_ms, told)
    })
}

/// Ada comments on an issue: `{text}`.
async fn comment_issue(
    State(fakes): State<Fakes>,
    Path((owner, name, number)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "issue", |world, now_ms, told| {
        github::new_comment(world, &(owner, name), &number, &body["text"], &github::ada(), now_ms, told)
    })
}

/// Ada changes a comment: `{text}`.
async fn change_issue_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    Json(body): Json<Value>,
) -> Response {
    done(&fakes, "comment", |world, now_ms, told| {
        github::change_comment(world, &(owner, name), &id, &body["text"], &github::ada(), now_ms, told)
    })
}

/// Ada deletes a comment.
async fn drop_issue_comment(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
) -> Response {
    done(&fakes, "comment", |world, _, told| {
        github::drop_comment(world, &(owner, name), &id, &github::ada(), told).map(|()| json!({}))
    })
}
