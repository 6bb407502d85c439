//! OAuth installs: an administrator is sent to the provider and comes back with
//! a code, for which the provider gives a token.
//!
//! A state names the tenant and is good once, for a while, and only in the
//! browser that was sent: what that browser holds is kept as a hash, as is the
//! state itself. So neither a code of somebody else nor a state of another
//! tenant connects anything. What is wrong with a state is told to nobody.

mod apps;
mod grant;

use pipeline::event::Time;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use udfs::hash;

use self::apps::App;
use super::{Connections, hooks::no_public_url};
use providers::client::ProviderError;
use runtime::identity::random_hex;
use store::StoreError;

pub use apps::installable;
pub(super) use grant::GRANT;

/// The kind of note that remembers who was sent to a provider.
pub(super) const STATE: &str = "install";
/// The kind of note that lets a browser begin, once.
pub(super) const TICKET: &str = "ticket";

/// What a state is about.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    provider: String,
    /// The hash of what the browser holds.
    browser: String,
    /// The verifier that the code is asked for with (PKCE), sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_verifier: Option<String>,
    until: Time,
}

/// What a ticket is about.
#[derive(Serialize, Deserialize)]
struct Begin {
    provider: String,
    until: Time,
}

/// A browser that is sent to a provider.
pub struct Journey {
    /// Where to.
    pub location: Url,
    /// What it shall hold until it comes back.
    pub cookie: String,
}

/// A link for a browser.
pub struct Link {
    /// Where it begins.
    pub url: String,
    /// Until when.
    pub until: Time,
}

/// What came back from a provider.
pub struct Back<'a> {
    /// To whose callback.
    pub provider: &'a str,
    /// The state it was sent with.
    pub state: Option<&'a str>,
    /// The code.
    pub code: Option<&'a str>,
    /// Or why there is none.
    pub error: Option<&'a str>,
    /// What the browser holds.
    pub browser: Option<&'a str>,
}

/// What an install has made.
pub struct Installed {
    /// The connections.
    pub connection_ids: Vec<String>,
    /// To what they lead, for a person.
    pub name: String,
}

/// Why an install was not.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Whatever is wrong with the state.
    #[error("this install was not begun here, is over, or was finished already: begin again")]
    State,
    /// The provider, or the person there, said no.
    #[error("the provider gave no access: {0}")]
    Denied(String),
    /// Anything else.
    #[error("{0}")]
    Halted(#[from] ProviderError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Halted(error.into())
    }
}

/// The name of the cookie of a provider's install.
pub fn cookie_name(provider: &str) -> String {
    format!("nexus_install_{provider}")
}

/// Nobody who reads the notes can finish an install.
fn hashed(secret: &str) -> String {
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that says whose it is and that nobody guesses.
fn named(tenant: &str) -> String {
    format!("{tenant}~{}{}", random_hex(), random_hex())
}

impl Connections {
    /// A link that an administrator's browser begins an install with.
    pub async fn invite(&self, tenant: &str, provider: &str) -> Result<Link, ProviderError> {
        App::of(self, tenant, provider)?;
        let public = self.public_url().ok_or_else(no_public_url)?;
        let (ticket, until) = (named(tenant), self.install_until());
        let begin = Begin { provider: provider.to_owned(), until };
        self.note_new(tenant, TICKET, &hashed(&ticket), until, &begin).await?;
        Ok(Link { url: format!("{public}/oauth/{provider}/install?ticket={ticket}"), until })
    }

    /// Lets a browser begin with its ticket, once.
    pub async fn begin_with_ticket(&self, provider: &str, ticket: &str) -> Result<Journey, Refused> {
        let (tenant, begin) = self.redeem::<Begin>(TICKET, ticket).await?;
        if begin.provider != provider || begin.until.as_ms() <= self.clock.now_ms() {
            return Err(Refused::State);
        }
        Ok(self.begin(&tenant, provider).await?)
    }

    /// Sends a browser to a provider.
    pub async fn begin(&self, tenant: &str, provider: &str) -> Result<Journey, ProviderError> {
        let app = App::of(self, tenant, provider)?;
        let public = self.public_url().ok_or_else(no_public_url)?;
        let (state, browser, until) = (named(tenant), random_hex() + &random_hex(), self.install_until());
        let verifier = app.has_pkce().then(|| random_hex() + &random_hex());
        let location = app.location(&self.redirect_url(provider)?, &state, verifier.as_deref());
        let id = hashed(&state);
        let sent = Sent {
            provider: provider.to_owned(),
            browser: hashed(&browser),
            sealed_verifier: verifier.map(|verifier| self.seal.seal(tenant, &id, &verifier)),
            until,
        };
        self.note_new(tenant, STATE, &id, until, &sent).await?;
        let secure = if public.starts_with("https:") { "; Secure" } else { "" };
        let age_s = self.settings.install_ttl_ms.div_ceil(1000);
        // Lax: the provider sends the browser back from another site.
        let cookie = format!(
            "{}={browser}; Path=/oauth; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}",
            cookie_name(provider)
        );
        Ok(Journey { location, cookie })
    }

    /// Takes a browser back, and what it was given.
    pub async fn finish(&self, back: Back<'_>) -> Result<Installed, Refused> {
        let state = back.state.ok_or(Refused::State)?;
        // Over with the first try, whatever becomes of it.
        let (tenant, sent) = self.redeem::<Sent>(STATE, state).await?;
        let is_browser =
            back.browser.is_some_and(|browser| hash::same(hashed(browser).as_bytes(), sent.browser.as_bytes()));
        if sent.provider != back.provider || sent.until.as_ms() <= self.clock.now_ms() || !is_browser {
            return Err(Refused::State);
        }
        if let Some(error) = back.error {
            let plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
            return Err(Refused::Denied(error.chars().filter(plain).take(64).collect()));
        }
        let code = back.code.ok_or(Refused::State)?;
        let app = App::of(self, &tenant, back.provider)?;
        let open = |sealed: &String| self.seal.open(&tenant, &hashed(state), sealed);
        let verifier = sent.sealed_verifier.as_ref().and_then(open);
        let token = app.exchange(code, &self.redirect_url(back.provider)?, verifier.as_deref()).await?;
        let granted = app.explore(&token).await?;
        let name = granted.iter().map(|granted| granted.name.clone()).collect::<Vec<_>>().join(", ");
        let mut connection_ids = Vec::new();
        for granted in granted {
            connection_ids.push(self.connect(&tenant, &app, granted, &token).await?);
        }
        self.wake.notify_one();
        tracing::info!(tenant, provider = back.provider, "installed");
        Ok(Installed { connection_ids, name })
    }

    /// Takes away the note that a name leads to, so that it leads there once.
    async fn redeem<T: serde::de::DeserializeOwned>(&self, kind: &str, name: &str) -> Result<(String, T), Refused> {
        let (tenant, _) = name.split_once('~').ok_or(Refused::State)?;
        let upkeep = self.store.upkeep();
        let note = upkeep.get(tenant, kind, &hashed(name)).await?.ok_or(Refused::State)?;
        if !upkeep.take(&note).await? {
            return Err(Refused::State);
        }
        let said = serde_json::from_value(note.data).map_err(|_| Refused::State)?;
        Ok((tenant.to_owned(), said))
    }

    async fn note_new(
        &self,
        tenant: &str,
        kind: &str,
        id: &str,
        until: Time,
        said: &impl Serialize,
    ) -> Result<(), ProviderError> {
        let data = serde_json::to_value(said).unwrap_or_default();
        self.store.upkeep().add(tenant, kind, id, Some(until.0), &data).await?;
        Ok(())
    }

    fn install_until(&self) -> Time {
        Time::from_ms(self.clock.now_ms().saturating_add(self.settings.install_ttl_ms))
    }

    fn redirect_url(&self, provider: &str) -> Result<String, ProviderError> {
        let public = self.public_url().ok_or_else(no_public_url)?;
        Ok(format!("{public}/oauth/{provider}/callback"))
    }
}
