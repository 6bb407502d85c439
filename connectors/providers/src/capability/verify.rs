//! Whose a webhook is, whether it is believed, and by what name a repeat of it is
//! known.

use std::sync::Arc;

use runtime::config::ServerSettings;

use crate::webhook::{Admitted, Refused, SenderLink, WebhookRequest};

/// What to say where the hub does not know how it is reached.
pub const NO_PUBLIC_URL: &str =
    "the hub does not know how it is reached from outside: set server.public_url (NEXUS_PUBLIC_URL)";

/// Judges requests of a provider.
pub trait Verify: Send + Sync {
    /// Judges a request to `provider`'s address, or to that of one of its
    /// connections.
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        provider: &str,
        link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused>;

    /// Whether the connection is a part of the address.
    fn names_connection(&self) -> bool {
        false
    }

    /// Headers that say what a body is, and are kept with it. None of them is a
    /// credential.
    fn kept_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// How large a body may be.
    fn body_max_bytes(&self, settings: &ServerSettings) -> usize {
        settings.body_max_bytes
    }

    /// Whether the sender gives up for good at the first 401, 404 or 410, so that
    /// nothing that only looks like a bad signature may cause one.
    fn gives_up_at_once(&self) -> bool {
        false
    }
}
