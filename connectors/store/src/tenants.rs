//! The companies. A tenant's id is its own tenant.

use pipeline::event::{Agent, Alias, Client, Connection, Project, Row, Tenant, User, UserMapping, Workgroup};

use super::{
    database::{Line, Value},
    error::StoreError,
    from_json, json,
    repository::Rows,
    rows::{Entry, Page, Paging, Statements, Stored, entry, statements},
    sql,
};

impl Stored for Tenant {
    const STATEMENTS: Statements = statements!("tenants");

    fn values(&self) -> Vec<Value> {
        let limits = self.limits.as_ref().map(json);
        vec![self.name.as_str().into(), (&self.admin_slack_channel_id).into(), (&limits).into()]
    }

    fn read(line: &Line) -> Result<Self, StoreError> {
        Ok(Tenant {
            name: line.text(3)?,
            admin_slack_channel_id: line.some_text(4)?,
            limits: line.some_text(5)?.as_deref().map(from_json).transpose()?,
        })
    }
}

/// The ids of a kind's rows, page by page: what is to be told of when a tenant
/// goes.
const KINDS: &[(&str, &str)] = &[
    (Client::KIND, sql!("clients_page")),
    (Connection::KIND, sql!("connections_page")),
    (UserMapping::KIND, sql!("mappings_page")),
    (User::KIND, sql!("users_page")),
    (Project::KIND, sql!("projects_page")),
    (Alias::KIND, sql!("aliases_page")),
    (Workgroup::KIND, sql!("workgroups_page")),
    (Agent::KIND, sql!("agents_page")),
];

/// What refers to others goes before them; the rest goes with the tenant.
const CLEAR: &[&str] = &[
    sql!("clients_delete_tenant"),
    sql!("projects_delete_tenant"),
    sql!("tasks_delete_tenant"),
    sql!("unrouted_delete_tenant"),
    sql!("candidates_delete_tenant"),
    sql!("notices_delete_tenant"),
    sql!("upkeep_delete_tenant"),
    // What was done stays in the trail, which only grows and has nobody's words.
    sql!("mirror_waiting_delete_tenant"),
    sql!("usage_days_delete_tenant"),
    sql!("budgets_delete_tenant"),
    sql!("budget_told_delete_tenant"),
    sql!("texts_delete_tenant"),
    sql!("summaries_delete_tenant"),
    sql!("vectors_delete_tenant"),
];

/// Rows that are told of at once.
const ROWS_AT_ONCE: usize = 500;

impl Rows<'_, Tenant> {
    /// All tenants, for who works across them.
    pub async fn all(&self, paging: &Paging) -> Result<Page<Entry<Tenant>>, StoreError> {
        let after = paging.after.as_deref().unwrap_or_default();
        let values = [after.into(), (paging.limit() as i64 + 1).into()];
        let lines = self.store.database.rows(sql!("tenants_all"), &values).await?;
        let entries = lines.iter().map(entry::<Tenant>).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(entries, paging.limit(), |entry| &entry.id))
    }

    /// Takes a tenant away with all that it has here, each row told of.
    pub async fn delete_all(&self, tenant: &str) -> Result<(), StoreError> {
        let mut work = self.store.work(tenant).await?;
        for (kind, page) in KINDS {
            let mut after = String::new();
            loop {
                let values = [tenant.into(), after.as_str().into(), (ROWS_AT_ONCE as i64).into()];
                let lines = work.tx().rows(page, &values).await?;
                for line in &lines {
                    after = line.text(0)?;
                    work.outbox(kind, &after, None).await?;
                }
                if lines.len() < ROWS_AT_ONCE {
                    break;
                }
            }
        }
        for statement in CLEAR {
            work.tx().execute(statement, &[tenant.into()]).await?;
        }
        work.delete::<Tenant>(tenant).await?;
        work.commit().await
    }
}
