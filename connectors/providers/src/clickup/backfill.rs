//! What happened in ClickUp: tasks, their states, and their comments, also those
//! that are gone, of which ClickUp tells nobody.

use pipeline::event::Project;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ClickUp;
use crate::{
    capability::{
        Backfill, History,
        backfill::{Heard, LostComments, from_json, to_json},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

/// A step of a backfill.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Step {
    /// A page of a list's tasks.
    List { list: String, page: u32 },
    /// A task's comments.
    Comments { task: String },
}

impl Backfill for ClickUp {
    fn plan<'a>(&'a self, history: &'a dyn History, projects: &'a [&'a Project]) -> Asking<'a, Vec<Value>> {
        Box::pin(async move {
            let lists = projects.iter().filter_map(|row| row.clickup_list_id.clone());
            let mut steps: Vec<_> = lists.map(|list| Step::List { list, page: 0 }).collect();
            steps.extend(history.tasks().into_iter().map(|task| Step::Comments { task }));
            Ok(to_json(steps))
        })
    }

    fn step<'a>(
        &'a self,
        client: &'a ProviderClient,
        history: &'a mut dyn History,
        step: &'a Value,
    ) -> Asking<'a, Vec<Value>> {
        Box::pin(async move {
            Ok(to_json(match from_json(step)? {
                Step::List { list: id, page } => list(client, history, &id, page).await?,
                Step::Comments { task } => {
                    comments(client, history, &task).await?;
                    Vec::new()
                }
            }))
        })
    }

    fn comments(&self) -> Option<&dyn LostComments> {
        Some(self)
    }
}

impl LostComments for ClickUp {
    fn look<'a>(&'a self, client: &'a ProviderClient, history: &'a mut dyn History, task: &'a str) -> Asking<'a, ()> {
        Box::pin(comments(client, history, task))
    }
}

/// Pages of comments that are read of one task.
const COMMENT_PAGES_MAX: usize = 40;
/// ClickUp's own.
const COMMENTS_OF_PAGE: usize = 25;

fn ms_at(row: &Value, place: &str) -> u64 {
    word_at(row, place).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// One page of a list; its tasks' comments, and the next page.
async fn list(
    client: &ProviderClient,
    history: &mut dyn History,
    list: &str,
    number: u32,
) -> Result<Vec<Step>, ProviderError> {
    let from = history.from().as_ms().to_string();
    let number_text = number.to_string();
    let query = [
        ("page", &*number_text),
        ("archived", "false"),
        ("include_closed", "true"),
        ("subtasks", "true"),
        ("date_updated_gt", &*from),
    ];
    let page = client.get(&["list", list, "task"], &query).await?;
    let rows = rows_at(&page, "/tasks")?;
    // A job may take long: what was told by itself meanwhile is not told again.
    history.refresh().await?;
    let mut more = Vec::new();
    // Newest first, as they are told.
    for task in rows.iter().rev() {
        let Some(id) = word_at(task, "/id").filter(|_| ms_at(task, "/date_updated") >= history.from().as_ms()) else {
            continue;
        };
        look_at(client, history, &id, task).await?;
        more.push(Step::Comments { task: id });
    }
    let is_last = page["last_page"] == true || rows.is_empty();
    more.extend((!is_last).then(|| Step::List { list: list.to_owned(), page: number + 1 }));
    Ok(more)
}

/// Tells of a task what was not heard of it.
async fn look_at(
    client: &ProviderClient,
    history: &mut dyn History,
    id: &str,
    task: &Value,
) -> Result<(), ProviderError> {
    let row = history.task(id).await?;
    let webhook = &client.external_id;
    let is_wanted = match history.is_history() {
        true => row.is_none(),
        false => ms_at(task, "/date_created") >= history.from().as_ms(),
    };
    if history.heard("task", id, "") == Heard::Not && is_wanted {
        let body = json!({
            "event": "taskCreated", "webhook_id": webhook, "task_id": id, "date": task["date_created"], "task": task,
        });
        history.feed(&body, &[], None);
        history.tell("task", id, "");
        return Ok(());
    }
    let Some(status) = word_at(task, "/status/status").filter(|_| !history.is_history()) else { return Ok(()) };
    // The row follows the log at a distance, so it is asked only of a task whose
    // last event is older than what was read of the log.
    let known = history.status_of(id).or_else(|| row?.status).filter(|known| !known.eq_ignore_ascii_case(&status));
    // What has just changed may still be on its way, and has no mark in common.
    let age_ms = history.now_ms().saturating_sub(ms_at(task, "/date_updated"));
    if let Some(known) = known.filter(|_| age_ms >= history.fresh_ms()) {
        let item = json!({
            "type": 1, "field": "status", "date": task["date_updated"], "parent_id": task["list"]["id"],
            "before": { "status": known }, "after": task["status"],
        });
        let body = json!({
            "event": "taskStatusUpdated", "webhook_id": webhook, "task_id": id, "history_items": [item],
        });
        history.feed(&body, &[], None);
    }
    Ok(())
}

/// The comments of a task: new ones, changed ones, and those that are gone.
async fn comments(client: &ProviderClient, history: &mut dyn History, task: &str) -> Result<(), ProviderError> {
    let (mut standing, mut is_whole) = (Vec::new(), false);
    let mut after: Option<(String, String)> = None;
    for _ in 0..COMMENT_PAGES_MAX {
        let query: Vec<(&str, &str)> = match &after {
            Some((start, start_id)) => vec![("start", start), ("start_id", start_id)],
            None => Vec::new(),
        };
        let page = match client.get(&["task", task, "comment"], &query).await {
            // The task is gone, and its comments with it: that is told by itself.
            Err(ProviderError::Gone { .. }) => return Ok(()),
            page => page?,
        };
        let rows = rows_at(&page, "/comments")?;
        standing.extend(rows.iter().cloned());
        let last = rows.last().and_then(|last| Some((word_at(last, "/date")?, word_at(last, "/id")?)));
        if rows.len() < COMMENTS_OF_PAGE || last.is_none() {
            is_whole = true;
            break;
        }
        if last == after {
            return Err(ProviderError::bad_answer("the provider gave the same page of comments twice"));
        }
        after = last;
    }
    standing.reverse();
    for comment in &standing {
        say(client, history, task, comment);
    }
    let ids: std::collections::BTreeSet<_> = standing.iter().filter_map(|comment| word_at(comment, "/id")).collect();
    let known = history.comments_on(task).into_iter();
    let gone: Vec<String> = known.filter(|id| is_whole && !ids.contains(id)).collect();
    for id in gone {
        let item = json!({
            "type": 1, "field": "comment", "date": history.now_ms().to_string(), "after": id,
            "comment": { "id": id, "parent": task },
        });
        let webhook = &client.external_id;
        let body =
            json!({ "event": "taskCommentDeleted", "webhook_id": webhook, "task_id": task, "history_items": [item] });
        history.feed(&body, &[], None);
        history.tell_gone(task, &id);
    }
    Ok(())
}

fn say(client: &ProviderClient, history: &mut dyn History, task: &str, comment: &Value) {
    let Some(id) = word_at(comment, "/id") else { return };
    let text = comment["comment_text"].as_str().unwrap_or_default();
    let event = match history.heard("comment", &id, text) {
        Heard::Alike => return,
        Heard::Not if ms_at(comment, "/date") < history.from().as_ms() => return,
        Heard::Not => "taskCommentPosted",
        Heard::Otherwise if history.is_history() => return,
        Heard::Otherwise => "taskCommentUpdated",
    };
    let item = json!({
        "type": 1, "field": "comment", "date": comment["date"], "user": comment["user"], "after": id,
        "comment": {
            "id": id, "date": comment["date"], "parent": task, "type": 1, "comment": comment["comment"],
            "text_content": text, "user": comment["user"],
        },
    });
    let webhook = &client.external_id;
    let body = json!({ "event": event, "webhook_id": webhook, "task_id": task, "history_items": [item] });
    history.feed(&body, &[], None);
    history.tell("comment", &id, text);
}
