//! What the pipeline notices: when a connection was last heard of, and which
//! projects' lists are over.

use pipeline::event::Time;
use serde_json::Value as Json;

use super::{Store, error::StoreError, from_json, sql};

/// See the module.
pub struct Notices<'a>(pub(super) &'a Store);

impl Notices<'_> {
    /// When a connection was last heard of.
    pub async fn heard(&self, tenant: &str, connection: &str) -> Result<Option<Time>, StoreError> {
        let id = format!("connection:{connection}");
        let lines = self.0.database.rows(sql!("notices_get"), &[tenant.into(), id.into()]).await?;
        let Some(line) = lines.first() else { return Ok(None) };
        let data: Json = from_json(&line.text(1)?)?;
        Ok(data["at"].as_str().and_then(udfs::time::from_rfc3339).map(Time))
    }

    /// Projects of all tenants whose lists are over and whose rows do not say so
    /// yet: tenant, id.
    pub async fn projects_over(&self, rows_max: usize) -> Result<Vec<(String, String)>, StoreError> {
        let lines = self.0.database.rows(sql!("notices_of_projects"), &[(rows_max as i64).into()]).await?;
        let bare = |id: String| id.strip_prefix("project:").map(str::to_owned).unwrap_or(id);
        lines.iter().map(|line| Ok((line.text(0)?, bare(line.text(1)?)))).collect()
    }
}
