//! Events of a known tenant whose project is not mapped, as the pipeline keeps them.

use serde_json::Value as Json;

use super::{
    Store,
    error::StoreError,
    rows::{Page, Paging},
    sql,
    tasks::{one, page},
};

/// See the module.
pub struct Unrouted<'a>(pub(super) &'a Store);

impl Unrouted<'_> {
    /// One of them, whole.
    pub async fn get(&self, tenant: &str, id: &str) -> Result<Json, StoreError> {
        let lines = self.0.database.rows(sql!("unrouted_get"), &[tenant.into(), id.into()]).await?;
        one(&lines, "event")
    }

    /// A tenant's, by id.
    pub async fn list(&self, tenant: &str, paging: &Paging) -> Result<Page<Json>, StoreError> {
        let lines = self.0.database.rows(sql!("unrouted_page"), &paging.values(tenant)).await?;
        page(&lines, paging)
    }
}
