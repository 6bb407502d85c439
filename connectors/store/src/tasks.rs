//! Work items, as the pipeline keeps them.

use serde_json::Value as Json;

use super::{
    Store,
    database::{INDEXED_CHARS_MAX, Line, Value},
    error::StoreError,
    from_json,
    rows::{Page, Paging},
    sql,
};

/// Which tasks are asked for.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only those in this state, as JSON names it.
    pub state: Option<String>,
    /// Only those of these projects; an empty list has none.
    pub project_ids: Option<Vec<String>>,
}

/// The work items.
pub struct Tasks<'a>(pub(super) &'a Store);

impl Tasks<'_> {
    /// One task, whole.
    pub async fn get(&self, tenant: &str, id: &str) -> Result<Json, StoreError> {
        let lines = self.0.database.rows(sql!("tasks_get"), &[tenant.into(), id.into()]).await?;
        one(&lines, "task")
    }

    /// The task that the provider calls so.
    pub async fn by_external_id(&self, tenant: &str, external_id: &str) -> Result<Json, StoreError> {
        let lines = self.0.database.rows(sql!("tasks_by_external_id"), &[tenant.into(), external_id.into()]).await?;
        one(&lines, "task")
    }

    /// A tenant's tasks, by id.
    pub async fn list(&self, tenant: &str, filter: &TaskFilter, paging: &Paging) -> Result<Page<Json>, StoreError> {
        let mut values = paging.values(tenant);
        values.push(filter.state.clone().into());
        values.push(filter.project_ids.as_ref().map(|ids| listed(ids)).into());
        let lines = self.0.database.rows(sql!("tasks_page"), &values).await?;
        page(&lines, paging)
    }
}

/// Each id between commas of its own, so that taking out `,id,` leaves no part
/// of another.
fn listed(ids: &[String]) -> String {
    ids.iter().map(|id| format!(",{id},")).collect()
}

/// The one row of a projection.
pub(super) fn one(lines: &[Line], kind: &'static str) -> Result<Json, StoreError> {
    let line = lines.first().ok_or(StoreError::NotFound { kind })?;
    from_json(&line.text(1)?)
}

/// A page of a projection.
pub(super) fn page(lines: &[Line], paging: &Paging) -> Result<Page<Json>, StoreError> {
    let rows = lines.iter().map(|line| Ok((line.text(0)?, from_json(&line.text(1)?)?)));
    let rows = rows.collect::<Result<Vec<(String, Json)>, StoreError>>()?;
    let Page { rows, next } = Page::cut(rows, paging.limit(), |(id, _)| id);
    Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next })
}

/// A task's columns, read leniently: what is not there or of another kind is
/// left out, the whole is kept as it is.
pub(super) fn columns(data: &Json) -> Vec<Value> {
    let text = |name: &str| data[name].as_str().map(|text| text.chars().take(INDEXED_CHARS_MAX).collect::<String>());
    let updated_ms = data["updatedAt"].as_str().and_then(udfs::time::from_rfc3339).unwrap_or(0);
    vec![
        text("externalId").unwrap_or_default().into(),
        text("projectId").into(),
        text("state").unwrap_or_default().into(),
        text("channelId").into(),
        text("threadTs").into(),
        updated_ms.into(),
        data.to_string().into(),
    ]
}
