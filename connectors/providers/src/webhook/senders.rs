//! Who may send: the connections of the configuration and of the directory,
//! their keys made ready, and whose they are.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use pipeline::{
    event::{Connection, Tenant as TenantRow},
    topics::UNROUTED,
};
use udfs::signature::{Key, SCHEMES, Scheme};

use runtime::{config::Config, directory::Directory, identity::random_hex, sealing::Seal};

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

    /// Such that nothing is signed with.
    fn unusable() -> Self {
        Keys::new(std::iter::once(random_hex().as_str()))
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

/// One tenant's link to one provider.
pub struct SenderLink {
    /// Its id.
    pub id: Arc<str>,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// To which provider.
    pub provider: Box<str>,
    /// Its own keys; without any, the provider's are used.
    keys: Keys,
}

/// All of it, made anew when the directory changes.
pub struct Senders {
    tenants: HashSet<Arc<str>>,
    links_by_id: HashMap<Arc<str>, Arc<SenderLink>>,
    links_by_external_id: HashMap<(Box<str>, Box<str>), Arc<SenderLink>>,
    provider_keys: HashMap<Box<str>, Keys>,
    default_tenant: Option<Arc<str>>,
    unrouted: Arc<str>,
    /// Whether a provider without any secret is believed.
    pub allow_unsigned: bool,
}

impl Senders {
    /// From the configuration and the rows that `known` has; what it names first
    /// is not replaced by a row of the same name.
    pub fn new(config: &Config, known: &Directory, seal: &Seal) -> Self {
        let mut tenants: HashSet<Arc<str>> = HashSet::new();
        let mut tenant = |id: &str| {
            if let Some(tenant) = tenants.get(id) {
                return Arc::clone(tenant);
            }
            let tenant: Arc<str> = id.into();
            tenants.insert(Arc::clone(&tenant));
            tenant
        };
        let unrouted = tenant(UNROUTED);
        let mut links_by_id = HashMap::new();
        let mut links_by_external_id = HashMap::new();
        let mut add = |link: SenderLink, external_id: &str| {
            let link = Arc::new(link);
            if !external_id.is_empty() {
                let external_id = (link.provider.clone(), external_id.into());
                links_by_external_id.entry(external_id).or_insert_with(|| Arc::clone(&link));
            }
            links_by_id.entry(Arc::clone(&link.id)).or_insert(link);
        };
        for connection in &config.connections {
            let link = SenderLink {
                id: connection.id.as_str().into(),
                tenant: tenant(&connection.tenant),
                provider: connection.provider.as_str().into(),
                keys: Keys::new(connection.all_secrets().collect::<Vec<_>>().iter().copied()),
            };
            add(link, &connection.external_id);
        }
        for (owner, id, row) in known.everywhere::<Connection>() {
            if !row.enabled {
                continue;
            }
            let open = |sealed: &String| {
                let secret = seal.open(&owner, &id, sealed);
                if secret.is_none() {
                    tracing::warn!(tenant = %owner, connection = %id, "a secret was sealed with another ENCRYPTION_KEY");
                }
                secret
            };
            let secrets: Vec<_> = row.sealed_secrets.iter().filter_map(open).collect();
            let keys = match secrets.is_empty() && !row.sealed_secrets.is_empty() {
                // Not the provider's instead: this sender has keys of its own.
                true => Keys::unusable(),
                false => Keys::new(secrets.iter().map(String::as_str)),
            };
            let link = SenderLink {
                id: Arc::clone(&id),
                tenant: tenant(&owner),
                provider: row.provider.as_str().into(),
                keys,
            };
            add(link, &row.external_id);
        }
        let rows = known.everywhere::<TenantRow>();
        let default_tenant = config.tenant_by_default(rows.iter().map(|(tenant, ..)| &**tenant)).map(&mut tenant);
        let provider_keys = config
            .webhooks
            .secrets
            .iter()
            .map(|(provider, secret)| (provider.as_str().into(), Keys::new(std::iter::once(secret.as_str()))))
            .filter(|(_, keys): &(Box<str>, Keys)| !keys.is_empty())
            .collect();
        Senders {
            links_by_id,
            links_by_external_id,
            provider_keys,
            default_tenant,
            unrouted,
            tenants,
            allow_unsigned: config.allow_unsigned,
        }
    }

    /// The link of an id.
    pub fn link(&self, id: &str) -> Option<&Arc<SenderLink>> {
        self.links_by_id.get(id)
    }

    /// The link that a provider's own id names.
    pub fn link_to(&self, provider: &str, external_id: &str) -> Option<&Arc<SenderLink>> {
        self.links_by_external_id.get(&(provider.into(), external_id.into()))
    }

    /// The keys that a request through `link` (if any) is checked with: its
    /// own, else the provider's.
    pub fn keys<'a>(&'a self, provider: &str, link: Option<&'a SenderLink>) -> &'a Keys {
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
        crate::find(provider).is_some()
            || crate::generic::SENDERS.contains(&provider)
            || self.provider_keys.contains_key(provider)
            || self.links_by_id.values().any(|link| &*link.provider == provider)
    }

    /// Whether a tenant is one of those that may be sent to.
    pub fn has_tenant(&self, tenant: &str) -> bool {
        self.tenants.contains(tenant)
    }

    /// The tenant of what names none.
    pub fn default_tenant(&self) -> Option<&Arc<str>> {
        self.default_tenant.as_ref()
    }

    /// Where requests of no known tenant are kept.
    pub fn unrouted(&self) -> &Arc<str> {
        &self.unrouted
    }
}
