//! What an install was granted: kept beside the connection, and renewed before
//! it ends where the provider's tokens do.

use pipeline::event::Connection;
use serde::{Deserialize, Serialize};

use super::{
    super::{Connections, calls::again_at_ms},
    apps::{App, Token},
};
use providers::{capability::oauth::Granted, client::ProviderError};
use runtime::identity::random_hex;
use store::{Entry, Note, PAGE_ROWS_MAX, Paging, StoreError};

/// The kind of note that keeps a grant.
pub(in super::super) const GRANT: &str = "grant";

/// A token is renewed so long before it ends, or at half of its life.
const RENEW_BEFORE_MS: u64 = 600_000;
/// What could not be renewed is tried again after this.
const RENEW_AGAIN_MS: u64 = 60_000;

/// What is kept of a grant.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grant {
    workspace: String,
    /// The connection's token as this grant wrote it: another one was set by
    /// somebody else, and is not to be replaced.
    sealed_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_refresh: Option<String>,
    /// The one before, which the row may still have after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_before: Option<String>,
}

/// When a token is to be renewed.
fn due_of(token: &Token, now_ms: u64) -> Option<i64> {
    let expires_at_ms = token.expires_at_ms.filter(|_| token.refresh.is_some())?;
    let lives_ms = expires_at_ms.saturating_sub(now_ms);
    i64::try_from(expires_at_ms - RENEW_BEFORE_MS.min(lives_ms / 2)).ok()
}

impl Connections {
    /// The workspace that a connection was installed for.
    pub(in super::super) async fn workspace_of(&self, tenant: &str, id: &str) -> Result<Option<String>, ProviderError> {
        let note = self.store.upkeep().get(tenant, GRANT, id).await?;
        Ok(note.and_then(|note| serde_json::from_value::<Grant>(note.data).ok()).map(|grant| grant.workspace))
    }

    /// Makes the connection of a grant, or gives the one that is there its token.
    pub(super) async fn connect(
        &self,
        tenant: &str,
        app: &App,
        granted: Granted,
        token: &Token,
    ) -> Result<String, ProviderError> {
        let rows = self.store.connections();
        let known = self.known_connection(tenant, app.name(), &granted).await?;
        let (id, is_new) = match known {
            Some(entry) => (entry.id, false),
            None => (format!("con_{}", random_hex()), true),
        };
        let sealed_token = self.seal.seal(tenant, &id, &token.access);
        if is_new {
            let row = Connection {
                provider: app.name().to_owned(),
                external_id: granted.external_id,
                name: Some(granted.name),
                sealed_token: Some(sealed_token.clone()),
                own_ids: granted.own_ids,
                enabled: true,
                ..Connection::default()
            };
            rows.create(tenant, &id, &row).await?;
        } else {
            let change = |row: &mut Connection| {
                row.sealed_token = Some(sealed_token.clone());
                row.own_ids
                    .extend(granted.own_ids.into_iter().filter(|own| !row.own_ids.contains(own)).collect::<Vec<_>>());
                Ok::<(), StoreError>(())
            };
            rows.change(tenant, &id, change).await?;
        }
        let seal = |refresh: &String| self.seal.seal(tenant, &id, refresh);
        let grant = Grant {
            workspace: granted.workspace,
            sealed_token,
            sealed_refresh: token.refresh.as_ref().map(seal),
            sealed_before: None,
        };
        let data = serde_json::to_value(&grant).unwrap_or_default();
        self.note(tenant, GRANT, &id, due_of(token, self.clock.now_ms()), data).await?;
        Ok(id)
    }

    /// The tenant's connection to the same workspace.
    async fn known_connection(
        &self,
        tenant: &str,
        provider: &str,
        granted: &Granted,
    ) -> Result<Option<Entry<Connection>>, ProviderError> {
        let mut paging = Paging { limit: PAGE_ROWS_MAX, after: None };
        loop {
            let page = self.store.connections().list(tenant, &paging).await?;
            for entry in page.rows.into_iter().filter(|entry| entry.row.provider == provider) {
                let named = entry.row.external_id.as_str();
                let is_it = !named.is_empty()
                    && (named == granted.external_id || granted.webhook_ids.iter().any(|webhook| webhook == named));
                if is_it || self.workspace_of(tenant, &entry.id).await?.as_ref() == Some(&granted.workspace) {
                    return Ok(Some(entry));
                }
            }
            match page.next {
                Some(next) => paging.after = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Renews a token; when to do it next, and the note as it is then.
    pub(in super::super) async fn renew_grant(&self, note: &mut Note) -> Result<(), ProviderError> {
        let (tenant, id) = (note.tenant.clone(), note.id.clone());
        let now_ms = self.clock.now_ms();
        let Ok(mut grant) = serde_json::from_value::<Grant>(note.data.clone()) else { return Ok(()) };
        let row = match self.store.connections().get(&tenant, &id).await {
            Ok(entry) if entry.row.sealed_token.as_ref() == Some(&grant.sealed_token) => entry.row,
            Ok(entry) if grant.sealed_before.is_some() && entry.row.sealed_token == grant.sealed_before => {
                self.replace_token(&tenant, &id, &grant).await?;
                entry.row
            }
            // Gone, or somebody has set another token by hand.
            Ok(_) | Err(StoreError::NotFound { .. }) => {
                self.store.upkeep().take(note).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let refresh = grant.sealed_refresh.as_ref().and_then(|sealed| self.seal.open(&tenant, &id, sealed));
        let Some(refresh) = refresh else { return Ok(()) };
        let renewed = match App::of(self, &tenant, &row.provider) {
            Ok(app) => app.refresh(&refresh).await,
            Err(error) => Err(error),
        };
        let token = match renewed {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(tenant, connection = id, reason = %error, "a token could not be renewed");
                let again_ms = again_at_ms(&error, now_ms).unwrap_or(now_ms + RENEW_AGAIN_MS).max(now_ms + 1_000);
                let data = note.data.clone();
                self.store.upkeep().change(note, i64::try_from(again_ms).ok(), data).await?;
                return Ok(());
            }
        };
        let before = std::mem::replace(&mut grant.sealed_token, self.seal.seal(&tenant, &id, &token.access));
        if let Some(refresh) = &token.refresh {
            grant.sealed_refresh = Some(self.seal.seal(&tenant, &id, refresh));
        }
        grant.sealed_before = Some(before);
        // The note first: the old means may be spent by now.
        let data = serde_json::to_value(&grant).unwrap_or_default();
        self.store.upkeep().change(note, due_of(&token, now_ms), data).await?;
        self.replace_token(&tenant, &id, &grant).await
    }

    /// Gives the row the grant's token in the place of the one before.
    async fn replace_token(&self, tenant: &str, id: &str, grant: &Grant) -> Result<(), ProviderError> {
        let change = |row: &mut Connection| {
            if row.sealed_token == grant.sealed_before {
                row.sealed_token = Some(grant.sealed_token.clone());
            }
            Ok::<(), StoreError>(())
        };
        self.store.connections().change(tenant, id, change).await?;
        Ok(())
    }
}
