//! Webhooks at GitHub.

use hashbrown::HashSet;
use pipeline::event::Connection;
use reqwest::Method;
use serde_json::{Value, json};

use super::GitHub;
use crate::{
    capability::{
        Hooks,
        hooks::{HookContext, OwnHook, Registered, Seen, Status, Wish, owned},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

/// What GitHub is to tell.
const EVENTS: &[&str] = &[
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "discussion_comment",
    "push",
    "release",
    "check_run",
    "workflow_run",
    "repository",
];

/// Pages of a repository's hooks that are looked through; GitHub allows twenty
/// hooks for each event.
const HOOK_PAGES_MAX: usize = 5;
const HOOKS_OF_PAGE: usize = 100;

impl Hooks for GitHub {
    fn wants_hook(&self, row: &Connection, has_shared_secret: bool) -> bool {
        // Where one secret is all apps', an app's own webhook tells everything.
        row.external_id.contains('/') && !has_shared_secret
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
    let endpoint = context.endpoint()?.to_owned();
    let named = Some(context.row.external_id.as_str()).filter(|id| !id.is_empty());
    if named.is_some_and(|id| !id.contains('/')) {
        let detail = "the connection is an app's installation, whose webhook is set up in the app's settings";
        return Err(ProviderError::first("app_installation", detail.to_owned()));
    }
    let repository = match (named, wish.repository.as_deref()) {
        (Some(named), Some(wanted)) if !named.eq_ignore_ascii_case(wanted) => {
            let detail = format!("this connection is that of {named}; another repository needs one of its own");
            return Err(ProviderError::first("other_repository", detail));
        }
        (Some(named), _) => named.to_owned(),
        (None, Some(wanted)) => wanted.to_owned(),
        (None, None) => return Err(ProviderError::first("choose_repository", "say which with repository".to_owned())),
    };
    let (owner, name) =
        repository.split_once('/').ok_or_else(|| ProviderError::gone("a repository is owner/name".to_owned()))?;
    let own = context.own.as_ref();
    let found = find_hook(client, (owner, name), own, &endpoint).await?;
    // Before the provider: what is taken by another connection is refused
    // while nothing has been made.
    let is_known = own.is_some() && found.is_some();
    let secret = context.keeper.secret(&repository, is_known).await?;
    let body = json!({
        "name": "web", "active": true, "events": EVENTS,
        "config": { "url": endpoint, "content_type": "json", "insecure_ssl": "0", "secret": secret },
    });
    let hooks = ["repos", owner, name, "hooks"];
    let (hook, created) = match found.as_ref().and_then(|hook| word_at(hook, "/id")) {
        Some(id) if is_known && found.as_ref().is_some_and(|hook| is_right(hook, &endpoint)) => {
            (json!({ "id": id }), false)
        }
        Some(id) => {
            let one = [&hooks[..], &[&*id]].concat();
            (client.call(Method::PATCH, &one, &[], Some(&body)).await?, false)
        }
        None => (client.call(Method::POST, &hooks, &[], Some(&body)).await?, true),
    };
    let webhook_id = word_at(&hook, "/id").ok_or_else(|| ProviderError::bad_answer("the hook has no id"))?;
    context.keeper.note(OwnHook { hook_id: webhook_id.clone(), team_id: None }).await?;
    Ok(Registered { webhook_id, endpoint, events: owned(EVENTS), created })
}

/// The repository's hook that is ours.
pub(super) async fn find_hook(
    client: &ProviderClient,
    (owner, name): (&str, &str),
    own: Option<&OwnHook>,
    endpoint: &str,
) -> Result<Option<Value>, ProviderError> {
    for page in 1..=HOOK_PAGES_MAX {
        let query = [("per_page", &*HOOKS_OF_PAGE.to_string()), ("page", &*page.to_string())];
        let found = client.get(&["repos", owner, name, "hooks"], &query).await?;
        let hooks = rows_at(&found, "")?;
        let is_own = |hook: &&Value| own.is_some_and(|own| word_at(hook, "/id").as_deref() == Some(&own.hook_id));
        let is_ours = |hook: &&Value| !endpoint.is_empty() && hook["config"]["url"] == endpoint;
        if let Some(hook) = hooks.iter().find(is_own).or_else(|| hooks.iter().find(is_ours)) {
            return Ok(Some(hook.clone()));
        }
        if hooks.len() < HOOKS_OF_PAGE {
            break;
        }
    }
    Ok(None)
}

async fn look(client: &ProviderClient, context: &HookContext<'_>) -> Result<Seen, ProviderError> {
    let Some((owner, name)) = client.external_id.split_once('/') else {
        // An app's installation: its webhook is the app's affair.
        client.get(&["user"], &[]).await?;
        return Ok(Seen::well());
    };
    let own = context.own.as_ref();
    let endpoint = context.endpoint.as_deref().unwrap_or_default();
    let Some(hook) = find_hook(client, (owner, name), own, endpoint).await? else {
        if own.is_none() && !context.wants_hook {
            return Ok(Seen::that(
                Status::Unregistered,
                "the repository has no hook of ours; POST …/register makes one",
            ));
        }
        return Ok(match own {
            Some(_) => Seen::that(Status::Suspended, "the hook was deleted at GitHub; it is registered again"),
            None => Seen::that(Status::Ok, "the hook was registered"),
        }
        .once_registered());
    };
    let id = word_at(&hook, "/id").ok_or_else(|| ProviderError::bad_answer("the hook has no id"))?;
    if hook["active"] == false {
        let one = ["repos", owner, name, "hooks", &*id];
        client.call(Method::PATCH, &one, &[], Some(&json!({ "active": true }))).await?;
        return Ok(Seen::that(Status::Suspended, "the hook had been switched off; it is active again"));
    }
    let deliveries = ["repos", owner, name, "hooks", &*id, "deliveries"];
    let last = client.get(&deliveries, &[("per_page", "1")]).await?;
    let status = rows_at(&last, "")?.first().and_then(|last| last["status_code"].as_u64());
    Ok(match status {
        Some(status) if !(200..300).contains(&status) => {
            Seen::that(Status::Failing, format!("GitHub's last delivery was answered {status}"))
        }
        _ => Seen::well(),
    })
}

fn is_right(hook: &Value, endpoint: &str) -> bool {
    let told: HashSet<&str> = hook["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let tells_all = told.contains("*") || EVENTS.iter().all(|event| told.contains(event));
    hook["active"] == true && hook["config"]["url"] == endpoint && tells_all
}
