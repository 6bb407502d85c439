//! The way in for samples: a connection of the data directory's own store, and
//! what its requests are signed with.
//!
//! In: the configuration of a hub on this machine. Out: the first connection of
//! a provider that a sample can be sent through, for the tenant that requests
//! without a name belong to. Nothing is made, and a store elsewhere is not asked:
//! whoever may read this directory may read its keys, not everybody's.

use runtime::{config::Config, keys::Keys, supervisor::Failure};
use store::{FILE, Paging, Store};

/// How many connections are looked at.
const CONNECTIONS_MAX: usize = 200;

/// A connection that samples can be sent through.
pub struct Door {
    /// Its id.
    pub id: String,
    /// What the provider calls its workspace.
    pub external_id: String,
    /// What its requests are signed with.
    pub secret: String,
}

/// The first connection of a provider, or the one that is named.
pub async fn door(config: &Config, provider: &str, named: Option<&str>) -> Result<Option<Door>, Failure> {
    if !config.store.url.is_empty() || !config.data_dir.join(FILE).exists() {
        return Ok(None);
    }
    let (store, seal) = (Store::open(config).await?, Keys::load(config)?.seal);
    let found = find(config, &store, provider, named).await;
    store.close().await;
    let Some((tenant, entry)) = found? else { return Ok(None) };
    let sealed = entry.row.sealed_secrets.first();
    let secret = sealed.and_then(|sealed| seal.open(&tenant, &entry.id, sealed));
    Ok(secret.map(|secret| Door { id: entry.id, external_id: entry.row.external_id, secret }))
}

type Found = (String, store::Entry<pipeline::event::Connection>);

async fn find(config: &Config, store: &Store, provider: &str, named: Option<&str>) -> Result<Option<Found>, Failure> {
    let page = Paging { limit: CONNECTIONS_MAX, after: None };
    let tenants = store.tenants().all(&page).await?.rows;
    let known = tenants.iter().map(|tenant| tenant.id.as_str());
    let Some(tenant) = config.tenant_by_default(known).map(str::to_owned) else { return Ok(None) };
    let entries = store.connections().list(&tenant, &page).await?.rows;
    let fits = |id: &str| named.is_none_or(|named| named == id);
    let found = entries.into_iter().find(|entry| {
        entry.row.provider == provider && entry.row.enabled && !entry.row.sealed_secrets.is_empty() && fits(&entry.id)
    });
    Ok(found.map(|entry| (tenant, entry)))
}
