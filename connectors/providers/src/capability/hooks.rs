//! Webhooks at the providers: that there is one of ours for a connection, with
//! the right events, and that we know its secret.
//!
//! Nothing is made before it was looked for: a call that had no answer may have
//! landed, and a second webhook would tell everything twice. Whoever does it
//! again finds what is there and only puts it right.

use hashbrown::HashSet;
use pipeline::event::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verify::NO_PUBLIC_URL;
use crate::{
    client::{ProviderClient, ProviderError},
    provider::Asking,
};

/// Where a webhook is to be.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Wish {
    /// The ClickUp workspace, where the token reaches several.
    #[schemars(length(min = 1, max = 64))]
    pub team_id: Option<String>,
    /// The GitHub repository, `owner/name`, where the connection names none.
    #[schemars(length(min = 3, max = 200))]
    pub repository: Option<String>,
}

/// The webhook that there is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The provider's id of it.
    pub webhook_id: String,
    /// Where it sends what happens.
    pub endpoint: String,
    /// What it tells.
    pub events: Vec<String>,
    /// Whether it was made now.
    pub created: bool,
}

/// What is noted of a webhook of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnHook {
    /// The provider's id of it.
    pub hook_id: String,
    /// The workspace it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
}

/// How a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// All is well.
    Ok,
    /// The provider's last webhooks did not reach us.
    Failing,
    /// The provider had stopped its webhooks, or somebody taken them away there;
    /// they were switched on again, and what was missed is looked for.
    Suspended,
    /// There is no webhook of ours at the provider.
    Unregistered,
    /// The provider does not take the token.
    Unauthorised,
    /// The provider cannot be asked now.
    Unreachable,
    /// All seems well, but nothing has come for a long time.
    Silent,
}

impl Status {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Ok => "ok",
            Status::Failing => "failing",
            Status::Suspended => "suspended",
            Status::Unregistered => "unregistered",
            Status::Unauthorised => "unauthorised",
            Status::Unreachable => "unreachable",
            Status::Silent => "silent",
        }
    }
}

/// What a look at the provider has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How it is.
    pub status: Status,
    /// What there is to know and do.
    pub detail: Option<String>,
    /// The webhook is to be made first.
    pub wants_hook: bool,
}

impl Seen {
    /// All is well.
    pub fn well() -> Seen {
        Seen { status: Status::Ok, detail: None, wants_hook: false }
    }

    /// There is nothing to be seen.
    pub fn nothing(detail: Option<&str>) -> Seen {
        Seen { status: Status::Unknown, detail: detail.map(str::to_owned), wants_hook: false }
    }

    /// This, with what there is to know of it.
    pub fn that(status: Status, detail: impl Into<String>) -> Seen {
        Seen { status, detail: Some(detail.into()), wants_hook: false }
    }

    /// The same, once the webhook was made that is missing.
    pub fn once_registered(self) -> Seen {
        Seen { wants_hook: true, ..self }
    }
}

/// What is known of a connection's webhook here.
pub struct HookContext<'a> {
    /// The connection's row.
    pub row: Connection,
    /// The webhook of ours, as noted.
    pub own: Option<OwnHook>,
    /// The workspace that the connection was installed for.
    pub workspace: Option<String>,
    /// What other connections call their webhooks: of whichever tenant, they are
    /// not this one's.
    pub others: HashSet<String>,
    /// Where the provider's webhooks come in; none, where the hub does not know
    /// how it is reached.
    pub endpoint: Option<String>,
    /// Whether the connection wants a webhook that nobody has made yet.
    pub wants_hook: bool,
    /// Keeps secrets and notes.
    pub keeper: &'a dyn HookKeeper,
}

impl HookContext<'_> {
    /// Where the provider's webhooks come in.
    pub fn endpoint(&self) -> Result<&str, ProviderError> {
        self.endpoint.as_deref().ok_or_else(|| ProviderError::first("no_public_url", NO_PUBLIC_URL))
    }
}

/// Keeps what a webhook's requests are believed by.
pub trait HookKeeper: Send + Sync {
    /// Keeps by what requests are found, and the secret that the provider gave.
    fn keep<'a>(&'a self, external_id: &'a str, secret: Option<&'a str>) -> Asking<'a, ()>;

    /// The secret that a webhook is to sign with: the one that is there, or a new
    /// one, kept before the provider is told.
    fn secret<'a>(&'a self, external_id: &'a str, is_known: bool) -> Asking<'a, String>;

    /// Notes which webhook is ours.
    fn note(&self, own: OwnHook) -> Asking<'_, ()>;
}

/// Sees to webhooks.
pub trait Hooks: Send + Sync {
    /// Whether a connection names what it wants a webhook for, or has none yet;
    /// requests may be believed by a secret of the settings already.
    fn wants_hook(&self, _row: &Connection, _has_shared_secret: bool) -> bool {
        false
    }

    /// Sees to it that there is one of ours.
    fn register<'a>(
        &'a self,
        client: &'a ProviderClient,
        context: &'a HookContext<'a>,
        wish: &'a Wish,
    ) -> Asking<'a, Registered>;

    /// Looks how it is, and puts right what can be.
    fn look<'a>(&'a self, client: &'a ProviderClient, context: &'a HookContext<'a>) -> Asking<'a, Seen>;
}

/// Names of events, as they are told.
pub fn owned(events: &[&str]) -> Vec<String> {
    events.iter().map(|event| (*event).to_owned()).collect()
}
