//! What happened in ClickUp: tasks, their states, and their comments, also those
//! that are gone, of which ClickUp tells nobody.

use pipeline::event::Task;
use serde_json::{Value, json};

use super::{
    super::way::{Halt, rows_at, word_at},
    Step, Work,
    known::Heard,
};
use store::StoreError;

/// Pages of comments that are read of one task.
const COMMENT_PAGES_MAX: usize = 40;
/// ClickUp's own.
const COMMENTS_OF_PAGE: usize = 25;

fn ms_at(row: &Value, place: &str) -> u64 {
    word_at(row, place).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// One page of a list; its tasks' comments, and the next page.
pub(super) async fn list(work: &mut Work<'_>, list: &str, number: u32) -> Result<Vec<Step>, Halt> {
    let from = work.from.as_ms().to_string();
    let number_text = number.to_string();
    let query = [
        ("page", &*number_text),
        ("archived", "false"),
        ("include_closed", "true"),
        ("subtasks", "true"),
        ("date_updated_gt", &*from),
    ];
    let page = work.way.get(&["list", list, "task"], &query).await?;
    let rows = rows_at(&page, "/tasks")?;
    // A job may take long: what was told by itself meanwhile is not told again.
    work.office.learn_more(&mut work.known, work.way.tenant, work.way.id, work.is_history).await?;
    let mut more = Vec::new();
    // Newest first, as they are told.
    for task in rows.iter().rev() {
        let Some(id) = word_at(task, "/id").filter(|_| ms_at(task, "/date_updated") >= work.from.as_ms()) else {
            continue;
        };
        look_at(work, &id, task).await?;
        more.push(Step::Comments { task: id });
    }
    let is_last = page["last_page"] == true || rows.is_empty();
    more.extend((!is_last).then(|| Step::List { list: list.to_owned(), page: number + 1 }));
    Ok(more)
}

/// Tells of a task what was not heard of it.
async fn look_at(work: &mut Work<'_>, id: &str, task: &Value) -> Result<(), Halt> {
    let row = match work.office.store.tasks().by_external_id(work.way.tenant, id).await {
        Ok(row) => serde_json::from_value::<Task>(row).ok(),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let webhook = &work.way.link.external_id;
    let is_wanted = match work.is_history {
        true => row.is_none(),
        false => ms_at(task, "/date_created") >= work.from.as_ms(),
    };
    if work.known.heard("task", id, "") == Heard::Not && is_wanted {
        let body = json!({
            "event": "taskCreated", "webhook_id": webhook, "task_id": id, "date": task["date_created"], "task": task,
        });
        work.feed.put(&body, &[]);
        work.known.tell("task", id, "");
        return Ok(());
    }
    let Some(status) = word_at(task, "/status/status").filter(|_| !work.is_history) else { return Ok(()) };
    // The row follows the log at a distance, so it is asked only of a task whose
    // last event is older than what was read of the log.
    let published = work.known.status_of("clickup", id).map(str::to_owned);
    let known = published.or_else(|| row?.status).filter(|known| !known.eq_ignore_ascii_case(&status));
    // What has just changed may still be on its way, and has no mark in common.
    let age_ms = work.office.clock.now_ms().saturating_sub(ms_at(task, "/date_updated"));
    if let Some(known) = known.filter(|_| age_ms >= work.office.settings.fresh_ms) {
        let item = json!({
            "type": 1, "field": "status", "date": task["date_updated"], "parent_id": task["list"]["id"],
            "before": { "status": known }, "after": task["status"],
        });
        let body = json!({
            "event": "taskStatusUpdated", "webhook_id": webhook, "task_id": id, "history_items": [item],
        });
        work.feed.put(&body, &[]);
    }
    Ok(())
}

/// The comments of a task: new ones, changed ones, and those that are gone.
pub(super) async fn comments(work: &mut Work<'_>, task: &str) -> Result<(), Halt> {
    let (mut standing, mut is_whole) = (Vec::new(), false);
    let mut after: Option<(String, String)> = None;
    for _ in 0..COMMENT_PAGES_MAX {
        let query: Vec<(&str, &str)> = match &after {
            Some((start, start_id)) => vec![("start", start), ("start_id", start_id)],
            None => Vec::new(),
        };
        let page = match work.way.get(&["task", task, "comment"], &query).await {
            // The task is gone, and its comments with it: that is told by itself.
            Err(Halt::Gone(_)) => return Ok(()),
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
            return Err(Halt::nonsense("the provider gave the same page of comments twice"));
        }
        after = last;
    }
    standing.reverse();
    for comment in &standing {
        say(work, task, comment);
    }
    let ids: std::collections::BTreeSet<_> = standing.iter().filter_map(|comment| word_at(comment, "/id")).collect();
    let gone: Vec<String> = work.known.comments_on(task).filter(|id| is_whole && !ids.contains(*id)).cloned().collect();
    for id in gone {
        let item = json!({
            "type": 1, "field": "comment", "date": work.office.clock.now_ms().to_string(), "after": id,
            "comment": { "id": id, "parent": task },
        });
        let webhook = &work.way.link.external_id;
        let body =
            json!({ "event": "taskCommentDeleted", "webhook_id": webhook, "task_id": task, "history_items": [item] });
        work.feed.put(&body, &[]);
        work.known.tell_gone(task, &id);
    }
    Ok(())
}

fn say(work: &mut Work<'_>, task: &str, comment: &Value) {
    let Some(id) = word_at(comment, "/id") else { return };
    let text = comment["comment_text"].as_str().unwrap_or_default();
    let event = match work.known.heard("comment", &id, text) {
        Heard::Alike => return,
        Heard::Not if ms_at(comment, "/date") < work.from.as_ms() => return,
        Heard::Not => "taskCommentPosted",
        Heard::Otherwise if work.is_history => return,
        Heard::Otherwise => "taskCommentUpdated",
    };
    let item = json!({
        "type": 1, "field": "comment", "date": comment["date"], "user": comment["user"], "after": id,
        "comment": {
            "id": id, "date": comment["date"], "parent": task, "type": 1, "comment": comment["comment"],
            "text_content": text, "user": comment["user"],
        },
    });
    let webhook = &work.way.link.external_id;
    let body = json!({ "event": event, "webhook_id": webhook, "task_id": task, "history_items": [item] });
    work.feed.put(&body, &[]);
    work.known.tell("comment", &id, text);
}
