//! How Jira Cloud's API is called: at the connection's own site, with the
//! e-mail address of the token's owner, or with OAuth.

use runtime::config::ProviderSettings;

use super::Jira;
use crate::{
    client::{Credential, Policies, budget::Limit},
    credentials::Link,
    provider::{Api, ONLY_PAUSES},
};

/// Below this is everything.
pub(super) const API: [&str; 3] = ["rest", "api", "3"];

impl Api for Jira {
    fn base_url(&self, link: &Link, settings: &ProviderSettings) -> Option<String> {
        Some(match settings.get("jira_api_url") {
            "" => link.base_url.clone().unwrap_or_else(|| format!("https://{}", link.external_id)),
            url => url.to_owned(),
        })
    }

    fn credential(&self, token: &str, email: Option<&str>) -> Option<Credential> {
        match email {
            Some(email) => Credential::basic(email, token),
            None => Credential::bearer(token),
        }
    }

    fn limit(&self, _has_scope: bool, _policies: &Policies) -> Option<Limit> {
        Some(ONLY_PAUSES)
    }
}
