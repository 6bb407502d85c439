//! ClickUp's installs: a person lets us into some workspaces.

use runtime::config::{OAuthSettings, ProviderSettings};
use serde_json::Value;

use super::ClickUp;
use crate::{
    capability::{
        OAuth,
        oauth::{AppSettings, Granted, below},
    },
    client::{ProviderClient, ProviderError, rows_at, word_at},
    provider::Asking,
};

impl OAuth for ClickUp {
    fn app(&self, oauth: &OAuthSettings, providers: &ProviderSettings) -> AppSettings {
        AppSettings {
            client_id: oauth.get("clickup_client_id").to_owned(),
            client_secret: oauth.get("clickup_client_secret").to_owned(),
            authorize_url: oauth.get("clickup_authorize_url").to_owned(),
            token_url: below(providers.get("clickup_api_url"), "oauth/token"),
        }
    }

    fn takes_json(&self) -> bool {
        true
    }

    fn explore<'a>(&'a self, client: &'a ProviderClient, _said: &'a Value) -> Asking<'a, Vec<Granted>> {
        Box::pin(workspaces(client))
    }
}

/// Every workspace that the person has let us into.
async fn workspaces(client: &ProviderClient) -> Result<Vec<Granted>, ProviderError> {
    let us = client.get(&["user"], &[]).await?;
    let own_ids: Vec<String> = word_at(&us, "/user/id").into_iter().collect();
    let teams = client.get(&["team"], &[]).await?;
    let mut granted = Vec::new();
    for team in rows_at(&teams, "/teams")? {
        let Some(id) = word_at(team, "/id").filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())) else {
            continue;
        };
        let known = client.get(&["team", &id, "webhook"], &[]).await?;
        let webhook_ids = rows_at(&known, "/webhooks")?.iter().filter_map(|row| word_at(row, "/id")).collect();
        let name = word_at(team, "/name").unwrap_or_else(|| id.clone());
        let own_ids = own_ids.clone();
        granted.push(Granted { external_id: String::new(), workspace: id, name, own_ids, webhook_ids });
    }
    match granted.is_empty() {
        true => Err(ProviderError::gone("the token reaches no workspace")),
        false => Ok(granted),
    }
}
