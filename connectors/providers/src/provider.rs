//! What a provider is: its names, its API, and what it can do. Everything that
//! differs between providers is asked here.

use std::{fmt, future::Future, pin::Pin};

use pipeline::event::{Connection, Project};

use crate::{
    capability::{Backfill, Hooks, Identity, Lookup, OAuth, Pickers, SetStatus, Verify, Write, samples::Samples},
    client::{
        Answer, Credential, Policies, ProviderError, Request,
        budget::Limit,
        judge::{DEFAULT_PAUSE_MS, by_status},
    },
    credentials::Link,
};
use runtime::config::ProviderSettings;

/// A future of a trait that is used as an object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that was asked of a provider.
pub type Asking<'a, T> = Boxed<'a, Result<T, ProviderError>>;

/// A provider. What it cannot do is `None`.
pub trait Provider: Send + Sync + 'static {
    /// Its name, in rows, addresses and metrics.
    fn name(&self) -> &'static str;

    /// Its name for people.
    fn label(&self) -> &'static str;

    /// How its API is called.
    fn api(&self) -> &dyn Api;

    /// Whose a webhook is, and whether it is believed.
    fn verify(&self) -> &dyn Verify;

    /// Samples of what it sends.
    fn samples(&self) -> &dyn Samples;

    /// What of a project is at this provider: a channel, a list, a repository.
    fn place_of<'p>(&self, _project: &'p Project) -> Option<&'p str> {
        None
    }

    /// Makes a project lead to a place at this provider.
    fn set_place(&self, _project: &mut Project, _place: String) {}

    /// Whether calls through a connection reach a place.
    fn leads_to(&self, _connection: &Connection, _place: &str) -> bool {
        true
    }

    /// Fetches what webhooks lack.
    fn lookup(&self) -> Option<&dyn Lookup> {
        None
    }

    /// Says, changes, takes back, and looks for what was said.
    fn write(&self) -> Option<&dyn Write> {
        None
    }

    /// Moves tasks.
    fn status(&self) -> Option<&dyn SetStatus> {
        None
    }

    /// What there is to choose from.
    fn pickers(&self) -> Option<&dyn Pickers> {
        None
    }

    /// Webhooks of ours at the provider.
    fn hooks(&self) -> Option<&dyn Hooks> {
        None
    }

    /// What webhooks did not tell.
    fn backfill(&self) -> Option<&dyn Backfill> {
        None
    }

    /// Whose a token is.
    fn identity(&self) -> Option<&dyn Identity> {
        None
    }

    /// Installs by OAuth.
    fn oauth(&self) -> Option<&dyn OAuth> {
        None
    }
}

impl fmt::Debug for dyn Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How an API is called. The defaults are those of somebody who speaks plain
/// HTTP and has said nothing of limits.
pub trait Api: Send + Sync {
    /// Where it is: the connection's own address, or that of the settings.
    fn base_url(&self, _link: &Link, _settings: &ProviderSettings) -> Option<String> {
        None
    }

    /// The setting that has the hub's own token.
    fn token_key(&self) -> Option<&'static str> {
        None
    }

    /// A token, in the form in which the provider takes it.
    fn credential(&self, token: &str, _email: Option<&str>) -> Option<Credential> {
        Credential::bearer(token)
    }

    /// A request with what every request to it has.
    fn dress(&self, request: Request) -> Request {
        request
    }

    /// What a token may spend, until answers say otherwise; of a scope (Slack's
    /// channel) where the call has one.
    fn limit(&self, _has_scope: bool, _policies: &Policies) -> Option<Limit> {
        None
    }

    /// The scope that a call for which nobody waits is counted in, so that it
    /// holds up nothing else.
    fn pace(&self, _request: &Request) -> Option<String> {
        None
    }

    /// What an answer means.
    fn judge(&self, answer: Answer, now_ms: u64) -> Result<Answer, ProviderError> {
        by_status(answer, DEFAULT_PAUSE_MS, now_ms)
    }
}

/// An allowance of which only the pauses count that the provider asks for: its
/// limits are by method or by cost.
pub const ONLY_PAUSES: Limit = Limit { calls_max: usize::MAX, window_ms: 1_000 };
