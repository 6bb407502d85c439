//! Webhooks at the providers: who registers them, and where what is known of them
//! is kept. How it is done is in the providers' folders
//! (`providers::capability::Hooks`).

use hashbrown::HashSet;
use pipeline::event::Connection;

use super::{Connections, calls::UNHURRIED};
use providers::{
    Provider,
    capability::{
        hooks::{HookContext, HookKeeper, OwnHook, Seen},
        verify::NO_PUBLIC_URL,
    },
    client::{ProviderClient, ProviderError},
    provider::Asking,
};
use runtime::identity::random_hex;
use store::StoreError;

pub use providers::capability::hooks::{Registered, Wish};

/// The kind of note that says which webhook is a connection's own.
pub(super) const HOOK: &str = "hook";

/// Keeps what a connection's webhook is believed by.
struct Keeper<'a> {
    connections: &'a Connections,
    tenant: &'a str,
    id: &'a str,
}

impl HookKeeper for Keeper<'_> {
    /// The webhook's id is what its requests are found by, its secret what they
    /// are believed by.
    fn keep<'a>(&'a self, external_id: &'a str, secret: Option<&'a str>) -> Asking<'a, ()> {
        Box::pin(async move {
            let Keeper { connections, tenant, id } = *self;
            let change = |row: &mut Connection| {
                let held = row.sealed_secrets.first().and_then(|sealed| connections.seal.open(tenant, id, sealed));
                if let Some(secret) = secret.filter(|secret| held.as_deref() != Some(secret)) {
                    row.sealed_secrets = vec![connections.seal.seal(tenant, id, secret)];
                }
                external_id.clone_into(&mut row.external_id);
                Ok::<(), StoreError>(())
            };
            connections.store.connections().change(tenant, id, change).await?;
            Ok(())
        })
    }

    fn secret<'a>(&'a self, external_id: &'a str, is_known: bool) -> Asking<'a, String> {
        Box::pin(async move {
            let Keeper { connections, tenant, id } = *self;
            let mut secret = random_hex() + &random_hex();
            let change = |row: &mut Connection| {
                let held = row.sealed_secrets.first().and_then(|sealed| connections.seal.open(tenant, id, sealed));
                match held.filter(|_| is_known) {
                    Some(held) => secret = held,
                    None => row.sealed_secrets = vec![connections.seal.seal(tenant, id, &secret)],
                }
                external_id.clone_into(&mut row.external_id);
                Ok::<(), StoreError>(())
            };
            connections.store.connections().change(tenant, id, change).await?;
            Ok(secret)
        })
    }

    fn note(&self, own: OwnHook) -> Asking<'_, ()> {
        Box::pin(async move {
            let data = serde_json::to_value(&own).unwrap_or_default();
            self.connections.note(self.tenant, HOOK, self.id, None, data).await
        })
    }
}

impl Connections {
    /// Sees to it that a connection has its webhook.
    pub async fn register(&self, tenant: &str, id: &str, wish: &Wish) -> Result<Registered, ProviderError> {
        // Two that look at the same time would both find nothing and make two.
        let turn = udfs::hash::content(format!("{tenant}/{id}")) as usize % self.registering.len().max(1);
        let _turn = match self.registering.get(turn) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let row = self.store.connections().get(tenant, id).await?.row;
        let client = self.client(tenant, id, UNHURRIED)?;
        let hooks = client.provider.hooks();
        let by_hand = || ProviderError::unsupported("webhooks of this provider are set up there, by hand");
        let hooks = hooks.ok_or_else(by_hand)?;
        let keeper = Keeper { connections: self, tenant, id };
        let context = self.hook_context(&client, row, &keeper).await?;
        let registered = hooks.register(&client, &context, wish).await?;
        tracing::info!(
            tenant,
            connection = id,
            webhook = registered.webhook_id,
            created = registered.created,
            "registered"
        );
        Ok(registered)
    }

    /// Looks how a connection's webhook is, and puts right what can be.
    pub(super) async fn look_at_hook(&self, client: &ProviderClient) -> Result<Seen, ProviderError> {
        let Some(hooks) = client.provider.hooks() else { return Ok(Seen::nothing(None)) };
        let (tenant, id) = (&*client.tenant, &*client.connection);
        let row = self.store.connections().get(tenant, id).await?.row;
        let keeper = Keeper { connections: self, tenant, id };
        let context = self.hook_context(client, row, &keeper).await?;
        let seen = hooks.look(client, &context).await?;
        if seen.wants_hook {
            self.register(tenant, id, &Wish::default()).await?;
        }
        Ok(seen)
    }

    async fn hook_context<'a>(
        &self,
        client: &ProviderClient,
        row: Connection,
        keeper: &'a Keeper<'_>,
    ) -> Result<HookContext<'a>, ProviderError> {
        let (tenant, id) = (&*client.tenant, &*client.connection);
        Ok(HookContext {
            own: self.own_hook(tenant, id).await?,
            workspace: self.workspace_of(tenant, id).await?,
            others: self.others(tenant, id, client.provider.name()),
            endpoint: self.endpoint(client.provider),
            wants_hook: self.wants_hook(&row),
            row,
            keeper,
        })
    }

    /// What is noted of a connection's webhook.
    pub(super) async fn own_hook(&self, tenant: &str, id: &str) -> Result<Option<OwnHook>, ProviderError> {
        let note = self.store.upkeep().get(tenant, HOOK, id).await?;
        Ok(note.and_then(|note| serde_json::from_value(note.data).ok()))
    }

    /// Whether a connection wants a webhook that nobody has made yet: it can
    /// call, and has nothing that requests could be believed by.
    pub(super) fn wants_hook(&self, row: &Connection) -> bool {
        let has_shared_secret = self.shared_secrets.contains(&row.provider);
        let hooks = providers::of(&row.provider).hooks();
        hooks.is_some_and(|hooks| hooks.wants_hook(row, has_shared_secret))
            && row.enabled
            && row.sealed_token.is_some()
            && row.sealed_secrets.is_empty()
    }

    /// Where a provider's webhooks come in, if the hub knows how it is reached.
    pub(super) fn endpoint(&self, provider: &dyn Provider) -> Option<String> {
        self.public_url().map(|public| format!("{public}/webhooks/{}", provider.name()))
    }

    /// What other connections call their webhooks: of whichever tenant, they are
    /// not this one's.
    fn others(&self, tenant: &str, id: &str, provider: &str) -> HashSet<String> {
        let all = self.directory.everywhere::<Connection>();
        let others = all.iter().filter(|(owner, other, row)| {
            row.provider == provider && !row.external_id.is_empty() && (&**owner, &**other) != (tenant, id)
        });
        others.map(|(.., row)| row.external_id.clone()).collect()
    }
}

/// What to say where the hub does not know how it is reached.
pub(super) fn no_public_url() -> ProviderError {
    ProviderError::first("no_public_url", NO_PUBLIC_URL)
}
