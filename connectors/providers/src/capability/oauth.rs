//! Installs by OAuth: where a browser is sent, what a code is exchanged for, and
//! what the token leads to.

use runtime::config::{OAuthSettings, ProviderSettings};
use serde_json::Value;

use crate::{client::ProviderClient, provider::Asking};

/// An app of ours at a provider.
pub struct AppSettings {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Where browsers are sent.
    pub authorize_url: String,
    /// Where codes are exchanged.
    pub token_url: String,
}

/// What a token leads to.
pub struct Granted {
    /// The connection's `externalId`, where it follows from the token.
    pub external_id: String,
    /// By what the same workspace is known again.
    pub workspace: String,
    /// What people call it.
    pub name: String,
    /// Who we are there.
    pub own_ids: Vec<String>,
    /// Webhooks that the token's owner has there.
    pub webhook_ids: Vec<String>,
}

/// Installs.
pub trait OAuth: Send + Sync {
    /// The app, as the settings have it.
    fn app(&self, oauth: &OAuthSettings, providers: &ProviderSettings) -> AppSettings;

    /// What is asked for; empty, where the app says it itself.
    fn scopes(&self) -> &'static str {
        ""
    }

    /// Whether the provider holds a code against its verifier.
    fn has_pkce(&self) -> bool {
        false
    }

    /// Whether codes are exchanged as JSON, not as a form.
    fn takes_json(&self) -> bool {
        false
    }

    /// What a token leads to. `client` has the token; `said` is the answer that it
    /// came in.
    fn explore<'a>(&'a self, client: &'a ProviderClient, said: &'a Value) -> Asking<'a, Vec<Granted>>;
}

/// An address below another.
pub fn below(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}
