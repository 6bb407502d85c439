//! An app of ours at a provider: where a browser is sent, and what a code is
//! exchanged for. What differs is in the providers' folders
//! (`providers::capability::OAuth`).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{
    Connections,
    calls::{HURRIED, manner},
};
use providers::{
    Provider,
    capability::{OAuth, oauth::Granted},
    client::{NotSent, ProviderClient, ProviderError, json_of, word_at},
};

/// The providers that can be installed.
pub fn installable() -> impl Iterator<Item = &'static str> {
    providers::PROVIDERS.iter().filter(|provider| provider.oauth().is_some()).map(|provider| provider.name())
}

/// An app of ours at a provider.
pub struct App {
    provider: &'static dyn Provider,
    oauth: &'static dyn OAuth,
    client: ProviderClient,
    client_id: String,
    client_secret: String,
    authorize: Url,
    token: Url,
}

/// A token, and until when it is good.
pub struct Token {
    /// The token.
    pub access: String,
    /// What the next one is asked for with.
    pub refresh: Option<String>,
    /// Until when, in milliseconds since the epoch.
    pub expires_at_ms: Option<u64>,
    /// The answer that it came in.
    said: Value,
}

impl App {
    /// The app of a provider, if the settings have one, for a tenant.
    pub fn of(office: &Connections, tenant: &str, provider: &str) -> Result<App, ProviderError> {
        let found = providers::find(provider).and_then(|provider| Some((provider, provider.oauth()?)));
        let none = || ProviderError::gone("there are installs for slack, clickup and github");
        let (provider, oauth) = found.ok_or_else(none)?;
        let app = oauth.app(&office.oauth, &office.providers);
        if app.client_id.is_empty() || app.client_secret.is_empty() {
            let (name, upper) = (provider.name(), provider.name().to_ascii_uppercase());
            let detail = format!("the hub has no app at {name}: set {upper}_CLIENT_ID and {upper}_CLIENT_SECRET");
            return Err(ProviderError::first("no_app", detail));
        }
        let url = |text: String| {
            text.parse().map_err(|_| ProviderError::not_sent(NotSent::Misconfigured, "an address is no URL"))
        };
        let (calls, name) = (Arc::clone(&office.calls), format!("oauth/{}", provider.name()));
        let manner = manner(HURRIED);
        Ok(App {
            client: ProviderClient::without_link(calls, (tenant, &name), provider, &office.providers, manner)?,
            provider,
            oauth,
            client_id: app.client_id,
            client_secret: app.client_secret,
            authorize: url(app.authorize_url)?,
            token: url(app.token_url)?,
        })
    }

    /// The provider's name.
    pub fn name(&self) -> &'static str {
        self.provider.name()
    }

    /// Whether the provider holds a code against its verifier.
    pub fn has_pkce(&self) -> bool {
        self.oauth.has_pkce()
    }

    /// Where a browser is sent.
    pub fn location(&self, redirect: &str, state: &str, verifier: Option<&str>) -> Url {
        let mut url = self.authorize.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("state", state);
        if !self.oauth.scopes().is_empty() {
            query.append_pair("scope", self.oauth.scopes());
        }
        if let Some(verifier) = verifier {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        }
        drop(query);
        url
    }

    /// Exchanges a code for a token.
    pub async fn exchange(&self, code: &str, redirect: &str, verifier: Option<&str>) -> Result<Token, ProviderError> {
        let mut fields = vec![("code", code), ("redirect_uri", redirect)];
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        self.ask(&fields).await
    }

    /// Exchanges the means to get another token for one.
    pub async fn refresh(&self, refresh: &str) -> Result<Token, ProviderError> {
        self.ask(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await
    }

    async fn ask(&self, fields: &[(&str, &str)]) -> Result<Token, ProviderError> {
        let mut request = self.client.request(Method::POST, self.token.clone());
        let own = [("client_id", &*self.client_id), ("client_secret", &*self.client_secret)];
        if self.oauth.takes_json() {
            let all = own.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), json!(value)));
            request = request.json(&Value::Object(all.collect()));
        } else {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(own.iter().chain(fields)).finish();
            request.body = Some(("application/x-www-form-urlencoded", form.into()));
        }
        let now_ms = self.client.now_ms();
        let answered = self.client.send(request, None).await;
        let said = answered.and_then(|answer| json_of(&answer)).map_err(|error| self.scrubbed(error, fields))?;
        if let Some(error) = word_at(&said, "/error") {
            let detail = format!("the provider answered {error}");
            return Err(self.scrubbed(ProviderError::Unauthorised { is_known: false, detail }, fields));
        }
        let no_token = || ProviderError::bad_answer("the provider gave no token");
        let access = word_at(&said, "/access_token").ok_or_else(no_token)?;
        let lives_ms = said["expires_in"].as_u64().filter(|seconds| *seconds > 0).map(|seconds| seconds * 1000);
        Ok(Token {
            access,
            refresh: word_at(&said, "/refresh_token"),
            expires_at_ms: lives_ms.map(|lives_ms| now_ms + lives_ms),
            said,
        })
    }

    /// What a careless provider repeats of our secrets is not passed on.
    fn scrubbed(&self, error: ProviderError, fields: &[(&str, &str)]) -> ProviderError {
        let hidden = fields.iter().filter(|(name, _)| *name != "redirect_uri" && *name != "grant_type");
        let secrets: Vec<&str> = hidden.map(|(_, value)| *value).chain([&*self.client_secret]).collect();
        let clean = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "********"));
        match error {
            // The address is fixed: nothing of ours is missing there.
            ProviderError::Gone { detail } => ProviderError::rejected(clean(&detail)),
            error => error.map_detail(clean),
        }
    }

    /// What a new token leads to.
    pub async fn explore(&self, token: &Token) -> Result<Vec<Granted>, ProviderError> {
        let client = self.client.clone().with_token(&token.access);
        self.oauth.explore(&client, &token.said).await
    }
}
