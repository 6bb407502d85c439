//! Slack's events are set up in the app's settings; only the token can be looked
//! at.

use super::Slack;
use crate::{
    capability::{
        Hooks,
        hooks::{HookContext, Registered, Seen, Status, Wish},
    },
    client::{ProviderClient, ProviderError, word_at},
    provider::Asking,
};

impl Hooks for Slack {
    fn register<'a>(
        &'a self,
        _client: &'a ProviderClient,
        _context: &'a HookContext<'a>,
        _wish: &'a Wish,
    ) -> Asking<'a, Registered> {
        let detail = "Slack's events are set up in the app's own settings, at Slack";
        Box::pin(async move { Err(ProviderError::unsupported(detail)) })
    }

    fn look<'a>(&'a self, client: &'a ProviderClient, _context: &'a HookContext<'a>) -> Asking<'a, Seen> {
        Box::pin(async move {
            let us = client.get(&["auth.test"], &[]).await?;
            let team = word_at(&us, "/team_id").unwrap_or_default();
            let named = client.external_id.as_str();
            match named.is_empty() || named == team || team.is_empty() {
                true => Ok(Seen::well()),
                false => Ok(Seen::that(Status::Failing, format!("the token belongs to the team {team}"))),
            }
        })
    }
}
