//! Lists and channels that could become projects, as the pipeline keeps them.

use serde_json::Value as Json;

use super::{
    Store,
    error::StoreError,
    rows::{Page, Paging},
    sql,
    tasks::{one, page},
};

/// See the module.
pub struct Candidates<'a>(pub(super) &'a Store);

impl Candidates<'_> {
    /// One of them, whole.
    pub async fn get(&self, tenant: &str, id: &str) -> Result<Json, StoreError> {
        let lines = self.0.database.rows(sql!("candidates_get"), &[tenant.into(), id.into()]).await?;
        one(&lines, "candidate")
    }

    /// Those of all tenants that have a workgroup and a channel: tenant, and the
    /// candidate.
    pub async fn proposed(&self, rows_max: usize) -> Result<Vec<(String, Json)>, StoreError> {
        let lines = self.0.database.rows(sql!("candidates_proposed"), &[(rows_max as i64).into()]).await?;
        lines.iter().map(|line| Ok((line.text(0)?, super::from_json(&line.text(2)?)?))).collect()
    }

    /// A tenant's, by id.
    pub async fn list(&self, tenant: &str, paging: &Paging) -> Result<Page<Json>, StoreError> {
        let lines = self.0.database.rows(sql!("candidates_page"), &paging.values(tenant)).await?;
        page(&lines, paging)
    }
}
