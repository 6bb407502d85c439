//! Webhooks at ClickUp.

use hashbrown::HashSet;
use pipeline::event::Connection;
use reqwest::Method;
use serde_json::{Value, json};

use super::ClickUp;
use crate::{
    capability::{
        Hooks,
        hooks::{HookContext, OwnHook, Registered, Seen, Status, Wish, owned},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

/// What ClickUp is to tell: all of tasks, and of lists.
const EVENTS: &[&str] = &[
    "taskCreated",
    "taskUpdated",
    "taskDeleted",
    "taskPriorityUpdated",
    "taskStatusUpdated",
    "taskAssigneeUpdated",
    "taskDueDateUpdated",
    "taskTagUpdated",
    "taskMoved",
    "taskCommentPosted",
    "taskCommentUpdated",
    "listCreated",
    "listUpdated",
    "listDeleted",
];

impl Hooks for ClickUp {
    fn wants_hook(&self, row: &Connection, _has_shared_secret: bool) -> bool {
        row.external_id.is_empty()
    }

    fn register<'a>(
        &'a self,
        client: &'a ProviderClient,
        context: &'a HookContext<'a>,
        wish: &'a Wish,
    ) -> Asking<'a, Registered> {
        Box::pin(register(client, context, wish))
    }

    fn look<'a>(&'a self, client: &'a ProviderClient, context: &'a HookContext<'a>) -> Asking<'a, Seen> {
        Box::pin(look(client, context))
    }
}

async fn register(
    client: &ProviderClient,
    context: &HookContext<'_>,
    wish: &Wish,
) -> Result<Registered, ProviderError> {
    let (endpoint, row) = (context.endpoint()?.to_owned(), &context.row);
    let team = team_of(client, context, wish).await?;
    let known = client.get(&["team", &team, "webhook"], &[]).await?;
    let known = rows_at(&known, "/webhooks")?;
    let named = |hook: &&Value| !row.external_id.is_empty() && hook["id"] == row.external_id.as_str();
    let ours = |row: &&Value| {
        row["endpoint"] == endpoint.as_str() && word_at(row, "/id").is_some_and(|id| !context.others.contains(&id))
    };
    let found = known.iter().find(named).or_else(|| known.iter().find(ours));
    let is_held = |hook: &Value| !row.sealed_secrets.is_empty() && hook["id"] == row.external_id.as_str();
    let usable = found.filter(|row| word_at(row, "/secret").is_some() || is_held(row));
    let (webhook, created) = match usable {
        Some(webhook) => {
            mend(client, webhook, &endpoint).await?;
            (webhook.clone(), false)
        }
        None => {
            if let Some(id) = found.and_then(|row| word_at(row, "/id")) {
                // Nobody knows its secret any more.
                client.call(Method::DELETE, &["webhook", &id], &[], None).await?;
            }
            let body = json!({ "endpoint": endpoint, "events": EVENTS });
            let made = client.call(Method::POST, &["team", &team, "webhook"], &[], Some(&body)).await?;
            (made["webhook"].clone(), true)
        }
    };
    let webhook_id = word_at(&webhook, "/id").ok_or_else(|| ProviderError::bad_answer("the webhook has no id"))?;
    let secret = word_at(&webhook, "/secret");
    if secret.is_none() && created {
        return Err(ProviderError::bad_answer("the webhook has no secret"));
    }
    context.keeper.keep(&webhook_id, secret.as_deref()).await?;
    context.keeper.note(OwnHook { hook_id: webhook_id.clone(), team_id: Some(team) }).await?;
    Ok(Registered { webhook_id, endpoint, events: owned(EVENTS), created })
}

/// Puts a webhook right: where it sends, what it tells, that it is active.
async fn mend(client: &ProviderClient, webhook: &Value, endpoint: &str) -> Result<(), ProviderError> {
    let told: HashSet<&str> = webhook["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let tells_all = told.contains("*") || EVENTS.iter().all(|event| told.contains(event));
    let is_active = webhook["health"]["status"] == "active";
    if tells_all && is_active && webhook["endpoint"] == endpoint {
        return Ok(());
    }
    let Some(id) = word_at(webhook, "/id") else { return Ok(()) };
    let body = json!({ "endpoint": endpoint, "events": EVENTS, "status": "active" });
    client.call(Method::PUT, &["webhook", &id], &[], Some(&body)).await.map(drop)
}

/// The workspace: as asked for, as noted, or the only one.
async fn team_of(client: &ProviderClient, context: &HookContext<'_>, wish: &Wish) -> Result<String, ProviderError> {
    if let Some(team) = &wish.team_id {
        return Ok(team.clone());
    }
    let noted = context.own.as_ref().and_then(|own| own.team_id.as_ref());
    if let Some(team) = noted.or(context.workspace.as_ref()) {
        return Ok(team.clone());
    }
    let teams = client.get(&["team"], &[]).await?;
    let teams: Vec<_> = rows_at(&teams, "/teams")?.iter().filter_map(|team| word_at(team, "/id")).collect();
    match &teams[..] {
        [only] => Ok(only.clone()),
        [] => Err(ProviderError::gone("the token reaches no workspace".to_owned())),
        several => Err(ProviderError::first("choose_team", format!("say which with teamId: {}", several.join(", ")))),
    }
}

async fn look(client: &ProviderClient, context: &HookContext<'_>) -> Result<Seen, ProviderError> {
    let external_id = client.external_id.as_str();
    if external_id.is_empty() {
        return Ok(Seen::that(Status::Ok, "the webhook was registered").once_registered());
    }
    let teams = client.get(&["team"], &[]).await?;
    for team in rows_at(&teams, "/teams")?.iter().filter_map(|team| word_at(team, "/id")) {
        let known = client.get(&["team", &team, "webhook"], &[]).await?;
        let Some(webhook) = rows_at(&known, "/webhooks")?.iter().find(|row| row["id"] == external_id) else {
            continue;
        };
        let (status, failures) = (word_at(webhook, "/health/status"), webhook["health"]["fail_count"].as_u64());
        let failures = failures.unwrap_or_default();
        let (seen, words) = match status.as_deref() {
            None | Some("active") => return Ok(Seen::well()),
            Some("suspended") => (Status::Suspended, "ClickUp had suspended the webhook"),
            Some(_) => (Status::Failing, "ClickUp counts the webhook as failing"),
        };
        let body = json!({ "endpoint": webhook["endpoint"], "events": webhook["events"], "status": "active" });
        client.call(Method::PUT, &["webhook", external_id], &[], Some(&body)).await?;
        return Ok(Seen::that(seen, format!("{words} after {failures} failures; it is active again")));
    }
    match &context.own {
        Some(_) => Ok(Seen::that(Status::Suspended, "the webhook was deleted at ClickUp; it is registered again")
            .once_registered()),
        None => Ok(Seen::that(Status::Unregistered, "ClickUp has no webhook of this id; POST …/register makes one")),
    }
}
