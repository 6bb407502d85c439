//! GitHub's installs: a person's token.

use runtime::config::{OAuthSettings, ProviderSettings};
use serde_json::Value;

use super::GitHub;
use crate::{
    capability::{
        OAuth,
        oauth::{AppSettings, Granted, below},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

/// What is done at GitHub.
const SCOPES: &str = "repo admin:repo_hook read:user";

impl OAuth for GitHub {
    fn app(&self, oauth: &OAuthSettings, _providers: &ProviderSettings) -> AppSettings {
        AppSettings {
            client_id: oauth.get("github_client_id").to_owned(),
            client_secret: oauth.get("github_client_secret").to_owned(),
            authorize_url: below(oauth.get("github_oauth_url"), "authorize"),
            token_url: below(oauth.get("github_oauth_url"), "access_token"),
        }
    }

    fn scopes(&self) -> &'static str {
        SCOPES
    }

    fn has_pkce(&self) -> bool {
        true
    }

    fn explore<'a>(&'a self, client: &'a ProviderClient, _said: &'a Value) -> Asking<'a, Vec<Granted>> {
        Box::pin(async move {
            let us = client.get(&["user"], &[]).await?;
            let nobody = || ProviderError::bad_answer("the provider does not say whose token it is");
            let login = word_at(&us, "/login").ok_or_else(nobody)?;
            Ok(vec![Granted {
                external_id: String::new(),
                workspace: login.clone(),
                name: login.clone(),
                own_ids: vec![login],
                webhook_ids: Vec::new(),
            }])
        })
    }
}
