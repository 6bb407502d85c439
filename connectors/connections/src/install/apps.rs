//! The providers' own ways of OAuth: where a browser is sent, what a code is
//! exchanged for, and what the token leads to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{
    Connections,
    way::{HURRIED, Halt, json_of, rows_at, word_at},
};
use providers::client::{Credential, Provider, Request};

/// THE list of providers that can be installed.
pub const PROVIDERS: &[&str] = &["slack", "clickup", "github"];

/// What Slack's bot may do.
const SLACK_SCOPES: &str = "app_mentions:read,channels:history,channels:manage,channels:read,chat:write,\
    chat:write.customize,groups:history,groups:read,metadata.message:read,users:read,users:read.email";
/// What is done at GitHub.
const GITHUB_SCOPES: &str = "repo admin:repo_hook read:user";

/// An app of ours at a provider.
pub struct App {
    /// For whom it asks.
    tenant: String,
    provider: Provider,
    client_id: String,
    client_secret: String,
    authorize: Url,
    token: Url,
    scopes: &'static str,
    /// Whether the provider holds a code against its verifier.
    pub has_pkce: bool,
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

impl App {
    /// The app of a provider, if the settings have one, for a tenant.
    pub fn of(office: &Connections, tenant: &str, provider: &str) -> Result<App, Halt> {
        let (settings, providers) = (&office.oauth, &office.providers);
        let below = |base: &str, path: &str| format!("{}/{path}", base.trim_end_matches('/'));
        let (id, secret, authorize, token, scopes) = match provider {
            "slack" => (
                &settings.slack_client_id,
                &settings.slack_client_secret,
                settings.slack_authorize_url.clone(),
                below(&providers.slack_api_url, "oauth.v2.access"),
                SLACK_SCOPES,
            ),
            "clickup" => (
                &settings.clickup_client_id,
                &settings.clickup_client_secret,
                settings.clickup_authorize_url.clone(),
                below(&providers.clickup_api_url, "oauth/token"),
                "",
            ),
            "github" => (
                &settings.github_client_id,
                &settings.github_client_secret,
                below(&settings.github_oauth_url, "authorize"),
                below(&settings.github_oauth_url, "access_token"),
                GITHUB_SCOPES,
            ),
            _ => return Err(Halt::Gone("there are installs for slack, clickup and github".to_owned())),
        };
        if id.is_empty() || secret.is_empty() {
            let name = provider.to_ascii_uppercase();
            let detail = format!("the hub has no app at {provider}: set {name}_CLIENT_ID and {name}_CLIENT_SECRET");
            return Err(Halt::First("no_app", detail));
        }
        let url =
            |text: String| text.parse().map_err(|_| Halt::First("misconfigured", "an address is no URL".to_owned()));
        Ok(App {
            tenant: tenant.to_owned(),
            provider: Provider::from_name(provider),
            client_id: id.clone(),
            client_secret: secret.clone(),
            authorize: url(authorize)?,
            token: url(token)?,
            scopes,
            has_pkce: provider == "github",
        })
    }

    /// The provider's name.
    pub fn name(&self) -> &'static str {
        self.provider.name()
    }

    /// Where a browser is sent.
    pub fn location(&self, redirect: &str, state: &str, verifier: Option<&str>) -> Result<Url, Halt> {
        let mut url = self.authorize.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("state", state);
        if !self.scopes.is_empty() {
            query.append_pair("scope", self.scopes);
        }
        if let Some(verifier) = verifier {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        }
        drop(query);
        Ok(url)
    }

    /// Exchanges a code for a token.
    pub async fn exchange(
        &self,
        office: &Connections,
        code: &str,
        redirect: &str,
        verifier: Option<&str>,
    ) -> Result<Token, Halt> {
        let mut fields = vec![("code", code), ("redirect_uri", redirect)];
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        self.ask(office, &fields).await
    }

    /// Exchanges the means to get another token for one.
    pub async fn refresh(&self, office: &Connections, refresh: &str) -> Result<Token, Halt> {
        self.ask(office, &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await
    }

    async fn ask(&self, office: &Connections, fields: &[(&str, &str)]) -> Result<Token, Halt> {
        let mut request = Request::new(self.provider, Method::POST, self.token.clone());
        let own = [("client_id", &*self.client_id), ("client_secret", &*self.client_secret)];
        if self.provider == Provider::ClickUp {
            let all = own.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), json!(value)));
            request = request.json(&Value::Object(all.collect()));
        } else {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(own.iter().chain(fields)).finish();
            request.body = Some(("application/x-www-form-urlencoded", form.into()));
        }
        let now_ms = office.clock.now_ms();
        let answered = office.exchange(&self.tenant, &format!("oauth/{}", self.name()), request, HURRIED).await;
        let said = answered.and_then(|answer| json_of(&answer)).map_err(|halt| self.scrubbed(halt, fields))?;
        if let Some(error) = word_at(&said, "/error") {
            return Err(self.scrubbed(Halt::Unauthorised(format!("the provider answered {error}")), fields));
        }
        let access = word_at(&said, "/access_token").ok_or_else(|| Halt::nonsense("the provider gave no token"))?;
        let lives_ms = said["expires_in"].as_u64().filter(|seconds| *seconds > 0).map(|seconds| seconds * 1000);
        Ok(Token {
            access,
            refresh: word_at(&said, "/refresh_token"),
            expires_at_ms: lives_ms.map(|lives_ms| now_ms + lives_ms),
            said,
        })
    }

    /// What a careless provider repeats of our secrets is not passed on.
    fn scrubbed(&self, halt: Halt, fields: &[(&str, &str)]) -> Halt {
        let hidden = fields.iter().filter(|(name, _)| *name != "redirect_uri" && *name != "grant_type");
        let secrets: Vec<&str> = hidden.map(|(_, value)| *value).chain([&*self.client_secret]).collect();
        let clean = |text: String| secrets.iter().fold(text, |text, secret| text.replace(secret, "********"));
        match halt {
            Halt::Unauthorised(detail) => Halt::Unauthorised(clean(detail)),
            Halt::Refused(detail) => Halt::Refused(clean(detail)),
            Halt::Gone(detail) => Halt::Refused(clean(detail)),
            Halt::Unwell(detail) => Halt::Unwell(clean(detail)),
            Halt::Nonsense(detail) => Halt::Nonsense(clean(detail)),
            Halt::Later { is_limit, until_ms, detail } => Halt::Later { is_limit, until_ms, detail: clean(detail) },
            halt => halt,
        }
    }

    /// What a new token leads to.
    pub async fn explore(&self, office: &Connections, token: &Token) -> Result<Vec<Granted>, Halt> {
        match self.provider {
            Provider::Slack => slack(&token.said).map(|granted| vec![granted]),
            Provider::ClickUp => self.clickup(office, token).await,
            _ => self.github(office, token).await.map(|granted| vec![granted]),
        }
    }

    async fn get(&self, office: &Connections, token: &Token, base: &str, path: &str) -> Result<Value, Halt> {
        let url = format!("{}/{path}", base.trim_end_matches('/'));
        let url = url.parse().map_err(|_| Halt::First("misconfigured", "an address is no URL".to_owned()))?;
        let credential = match self.provider {
            Provider::ClickUp => Credential::plain(&token.access),
            _ => Credential::bearer(&token.access),
        };
        let mut request = Request::new(self.provider, Method::GET, url);
        request.credential = credential;
        json_of(&office.exchange(&self.tenant, &format!("oauth/{}", self.name()), request, HURRIED).await?)
    }

    /// Every workspace that the person has let us into.
    async fn clickup(&self, office: &Connections, token: &Token) -> Result<Vec<Granted>, Halt> {
        let base = &office.providers.clickup_api_url;
        let us = self.get(office, token, base, "user").await?;
        let own_ids: Vec<String> = word_at(&us, "/user/id").into_iter().collect();
        let teams = self.get(office, token, base, "team").await?;
        let mut granted = Vec::new();
        for team in rows_at(&teams, "/teams")? {
            let Some(id) = word_at(team, "/id").filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())) else {
                continue;
            };
            let known = self.get(office, token, base, &format!("team/{id}/webhook")).await?;
            let webhook_ids = rows_at(&known, "/webhooks")?.iter().filter_map(|row| word_at(row, "/id")).collect();
            let name = word_at(team, "/name").unwrap_or_else(|| id.clone());
            let own_ids = own_ids.clone();
            granted.push(Granted { external_id: String::new(), workspace: id, name, own_ids, webhook_ids });
        }
        match granted.is_empty() {
            true => Err(Halt::Gone("the token reaches no workspace".to_owned())),
            false => Ok(granted),
        }
    }

    async fn github(&self, office: &Connections, token: &Token) -> Result<Granted, Halt> {
        let us = self.get(office, token, &office.providers.github_api_url, "user").await?;
        let login =
            word_at(&us, "/login").ok_or_else(|| Halt::nonsense("the provider does not say whose token it is"))?;
        Ok(Granted {
            external_id: String::new(),
            workspace: login.clone(),
            name: login.clone(),
            own_ids: vec![login],
            webhook_ids: Vec::new(),
        })
    }
}

/// Slack tells with the token what it leads to.
fn slack(said: &Value) -> Result<Granted, Halt> {
    let team = word_at(said, "/team/id").ok_or_else(|| Halt::nonsense("the provider does not say of which team"))?;
    Ok(Granted {
        name: word_at(said, "/team/name").unwrap_or_else(|| team.clone()),
        own_ids: ["/bot_user_id", "/bot_id"].into_iter().filter_map(|place| word_at(said, place)).collect(),
        external_id: team.clone(),
        workspace: team,
        webhook_ids: Vec::new(),
    })
}
