//! Slack's installs: it tells with the token what the token leads to.

use runtime::config::{OAuthSettings, ProviderSettings};
use serde_json::Value;

use super::Slack;
use crate::{
    capability::{
        OAuth,
        oauth::{AppSettings, Granted, below},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

/// What Slack's bot may do.
const SCOPES: &str = "app_mentions:read,channels:history,channels:manage,channels:read,chat:write,\
    chat:write.customize,groups:history,groups:read,metadata.message:read,users:read,users:read.email";

impl OAuth for Slack {
    fn app(&self, oauth: &OAuthSettings, providers: &ProviderSettings) -> AppSettings {
        AppSettings {
            client_id: oauth.get("slack_client_id").to_owned(),
            client_secret: oauth.get("slack_client_secret").to_owned(),
            authorize_url: oauth.get("slack_authorize_url").to_owned(),
            token_url: below(providers.get("slack_api_url"), "oauth.v2.access"),
        }
    }

    fn scopes(&self) -> &'static str {
        SCOPES
    }

    fn explore<'a>(&'a self, _client: &'a ProviderClient, said: &'a Value) -> Asking<'a, Vec<Granted>> {
        Box::pin(async move {
            let no_team = || ProviderError::bad_answer("the provider does not say of which team");
            let team = word_at(said, "/team/id").ok_or_else(no_team)?;
            Ok(vec![Granted {
                name: word_at(said, "/team/name").unwrap_or_else(|| team.clone()),
                own_ids: ["/bot_user_id", "/bot_id"].into_iter().filter_map(|place| word_at(said, place)).collect(),
                external_id: team.clone(),
                workspace: team,
                webhook_ids: Vec::new(),
            }])
        })
    }
}
