//! The providers: a folder each, one trait, one list, and one client for all
//! calls to them.
//!
//! In: a provider's name, or a connection. Out: what that provider can do, behind
//! [`Provider`] and its optional [`capability`]s. Guaranteed: nothing outside of
//! the providers' folders asks which provider it has; no call leaves for an
//! address that is not allowed, beyond a budget, or while the kill switch is set.
//!
//! The folders have the same file names: `mod.rs` (the type and what it can do),
//! `api.rs` (where its API is, what it allows, what its answers mean), `verify.rs`
//! (whose a webhook is and whether it is believed), `lookup.rs`, `write.rs`,
//! `find.rs`, `status.rs`, `pickers.rs`, `hooks.rs`, `backfill.rs`, `identity.rs`,
//! `oauth.rs`, `samples.rs`: each where the provider can do that.

pub mod capability;
pub mod clickup;
pub mod client;
pub mod credentials;
pub mod generic;
pub mod github;
pub mod jira;
pub mod provider;
pub mod samples;
pub mod slack;
pub mod webhook;

pub use provider::Provider;

/// THE list of providers.
pub const PROVIDERS: &[&dyn Provider] = &[&slack::Slack, &clickup::ClickUp, &github::GitHub, &jira::Jira];

/// The provider of that name, if it is one of the list.
pub fn find(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.name() == name)
}

/// The provider of that name; of any other, one that only sends webhooks.
pub fn of(name: &str) -> &'static dyn Provider {
    find(name).unwrap_or(&generic::Generic)
}
