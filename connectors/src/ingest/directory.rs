//! Who may send: the connections, their keys made ready, and whose they are.

use std::sync::Arc;

use hashbrown::HashMap;
use pipeline::topics::UNROUTED;
use udfs::signature::{Key, SCHEMES, Scheme};

use super::turns::Turns;
use crate::config::Config;

/// Senders whose name alone is no reason for a 404. Any other provider exists
/// once it has a secret or a connection.
const KNOWN_PROVIDERS: &[&str] =
    &["clickup", "slack", "github", "jira", "stripe", "pagerduty", "cloudevents", "standard-webhooks", "generic"];

/// The keys of one sender, made ready for every scheme.
#[derive(Clone, Default)]
pub struct Keys(Vec<Vec<Key>>);

impl Keys {
    fn new<'a>(secrets: impl Iterator<Item = &'a str> + Clone) -> Self {
        Keys(
            SCHEMES
                .iter()
                .map(|scheme| secrets.clone().filter_map(|secret| Key::new(scheme, secret)).collect())
                .collect(),
        )
    }

    /// Those usable with a scheme.
    pub fn of(&self, scheme: &Scheme) -> &[Key] {
        let number = SCHEMES.iter().position(|known| known.name == scheme.name);
        number.and_then(|number| self.0.get(number)).map_or(&[], Vec::as_slice)
    }

    /// Whether no secret is configured.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}

/// A tenant, as far as ingest is concerned.
pub struct Tenant {
    /// Its id.
    pub id: Arc<str>,
    /// Its place in the queue.
    pub turns: Turns,
}

/// One tenant's link to one provider.
pub struct Link {
    /// Its id.
    pub id: Arc<str>,
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// To which provider.
    pub provider: Box<str>,
    /// Its own keys; without any, the provider's are used.
    keys: Keys,
}

/// All of it, made anew when the configuration changes.
pub struct Directory {
    links_by_id: HashMap<Arc<str>, Arc<Link>>,
    links_by_external_id: HashMap<(Box<str>, Box<str>), Arc<Link>>,
    provider_keys: HashMap<Box<str>, Keys>,
    default_tenant: Option<Arc<Tenant>>,
    unrouted: Arc<Tenant>,
    /// Whether a provider without any secret is believed.
    pub allow_unsigned: bool,
}

impl Directory {
    /// From the configuration.
    pub fn new(config: &Config) -> Self {
        let mut tenants: HashMap<String, Arc<Tenant>> = HashMap::new();
        let mut tenant = |id: &str| {
            let turns = || Turns::new(config.server.tenant_requests_max, config.server.tenant_waiting_max);
            let make = || Arc::new(Tenant { id: id.into(), turns: turns() });
            Arc::clone(tenants.entry(id.to_owned()).or_insert_with(make))
        };
        let unrouted = tenant(UNROUTED);
        let default_tenant = config.tenant_by_default().map(&mut tenant);
        let mut links_by_id = HashMap::new();
        let mut links_by_external_id = HashMap::new();
        for connection in &config.connections {
            let link = Arc::new(Link {
                id: connection.id.as_str().into(),
                tenant: tenant(&connection.tenant),
                provider: connection.provider.as_str().into(),
                keys: Keys::new(connection.all_secrets().collect::<Vec<_>>().iter().copied()),
            });
            links_by_id.insert(Arc::clone(&link.id), Arc::clone(&link));
            if !connection.external_id.is_empty() {
                let external_id = (link.provider.clone(), connection.external_id.as_str().into());
                links_by_external_id.insert(external_id, link);
            }
        }
        let provider_keys = config
            .webhooks
            .secrets
            .iter()
            .map(|(provider, secret)| (provider.as_str().into(), Keys::new(std::iter::once(secret.as_str()))))
            .filter(|(_, keys): &(Box<str>, Keys)| !keys.is_empty())
            .collect();
        Directory {
            links_by_id,
            links_by_external_id,
            provider_keys,
            default_tenant,
            unrouted,
            allow_unsigned: config.allow_unsigned,
        }
    }

    /// The link of an id.
    pub fn link(&self, id: &str) -> Option<&Arc<Link>> {
        self.links_by_id.get(id)
    }

    /// The link that a provider's own id names.
    pub fn link_to(&self, provider: &str, external_id: &str) -> Option<&Arc<Link>> {
        self.links_by_external_id.get(&(provider.into(), external_id.into()))
    }

    /// The keys that a request through `link` (if any) is checked with: its
    /// own, else the provider's.
    pub fn keys<'a>(&'a self, provider: &str, link: Option<&'a Link>) -> &'a Keys {
        static NONE: Keys = Keys(Vec::new());
        match link {
            Some(link) if !link.keys.is_empty() => &link.keys,
            _ => self.provider_keys.get(provider).unwrap_or(&NONE),
        }
    }

    /// All keys of a provider, its own and its links': for the few requests
    /// that say nothing of where they come from.
    pub fn all_keys<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a Keys> {
        let of_links = self.links_by_id.values().filter(move |link| &*link.provider == provider).map(|link| &link.keys);
        self.provider_keys.get(provider).into_iter().chain(of_links)
    }

    /// Whether there is such a sender at all.
    pub fn knows(&self, provider: &str) -> bool {
        KNOWN_PROVIDERS.contains(&provider)
            || self.provider_keys.contains_key(provider)
            || self.links_by_id.values().any(|link| &*link.provider == provider)
    }

    /// The tenant of what names none.
    pub fn default_tenant(&self) -> Option<&Arc<Tenant>> {
        self.default_tenant.as_ref()
    }

    /// Where requests of no known tenant are kept.
    pub fn unrouted(&self) -> &Arc<Tenant> {
        &self.unrouted
    }
}
