//! What a session can name: the catalog `nexus`, its schema `public` with the
//! topics and views of one tenant, and the catalogs' own tables.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider},
    common::config::Dialect,
    datasource::ViewTable,
    error::Result,
    execution::{
        FunctionRegistry, SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};

use crate::{
    columns, functions,
    limits::Limits,
    table::{Reads, Source, TopicTable, Whose},
    views::{VIEWS, view},
    yielding::Yielding,
};

/// The catalog's name: the database, for the wire protocol.
pub const CATALOG: &str = "nexus";
/// The schema that names without one are looked up in.
pub const SCHEMA: &str = "public";

/// Records of a batch within a query.
const BATCH_ROWS: usize = 4_096;

/// A session that sees the rows of one tenant and nothing else.
pub fn session(source: &Source, whose: &Whose, limits: &Limits) -> Result<SessionContext> {
    let memory = Arc::new(GreedyMemoryPool::new(limits.memory_bytes_max));
    // Nothing is written to disks: a query that needs more than its memory ends.
    let disks = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory).with_disk_manager_builder(disks).build_arc()?;
    source.lake.files().register(&runtime);
    let tables = Arc::new(Tables {
        source: source.clone(),
        whose: whose.clone(),
        limits: *limits,
        runtime: Arc::clone(&runtime),
        planner: OnceLock::new(),
        with_views: true,
    });
    Ok(SessionContext::new_with_state(state(limits, runtime, tables)?))
}

fn state(limits: &Limits, runtime: Arc<RuntimeEnv>, tables: Arc<Tables>) -> Result<SessionState> {
    // What is followed comes out row by row, not when a batch is full.
    let is_followed = matches!(tables.source.reads, Reads::Follow(_));
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_batch_size(if is_followed { 1 } else { BATCH_ROWS })
        .with_target_partitions(if is_followed { 1 } else { limits.threads.get() });
    let options = config.options_mut();
    options.execution.time_zone = Some("+00:00".to_owned());
    // What calls itself has no bound but time.
    options.execution.enable_recursive_ctes = false;
    // Files have the same types as the log's own rows.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.dialect = Dialect::PostgreSQL;
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::clone(&tables) as Arc<dyn SchemaProvider>)?;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        // Nothing of this engine reads or writes files for whoever asks.
        .with_table_factories(Default::default())
        .with_file_formats(Vec::new())
        .with_physical_optimizer_rule(Arc::new(Yielding))
        .build();
    state.catalog_list().register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    functions::register(&mut state)?;
    if let Reads::Window(window) = &tables.source.reads {
        state.register_udf(Arc::new(functions::windows::hop_within(Some(window.start_ms))))?;
    }
    Ok(state)
}

/// The topics and views of one tenant, made when they are named.
struct Tables {
    source: Source,
    whose: Whose,
    limits: Limits,
    runtime: Arc<RuntimeEnv>,
    /// What plans the views: the same tables without the views.
    planner: OnceLock<SessionContext>,
    with_views: bool,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    fn planner(&self) -> Result<&SessionContext> {
        if let Some(planner) = self.planner.get() {
            return Ok(planner);
        }
        let tables = Tables {
            source: self.source.clone(),
            whose: self.whose.clone(),
            limits: self.limits,
            runtime: Arc::clone(&self.runtime),
            planner: OnceLock::new(),
            with_views: false,
        };
        let state = state(&self.limits, Arc::clone(&self.runtime), Arc::new(tables))?;
        Ok(self.planner.get_or_init(|| SessionContext::new_with_state(state)))
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let views = VIEWS.iter().filter(|_| self.with_views).map(|(name, _)| (*name).to_owned());
        columns::tables().map(|(name, _)| name).chain(views).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((_, topic)) = columns::tables().find(|(known, _)| known == name) {
            return Ok(Some(Arc::new(TopicTable::new(self.source.clone(), self.whose.clone(), topic))));
        }
        let Some(query) = view(name).filter(|_| self.with_views) else { return Ok(None) };
        let plan = self.planner()?.state().create_logical_plan(query).await?;
        Ok(Some(Arc::new(ViewTable::new(plan, Some(query.to_owned())))))
    }

    fn table_exist(&self, name: &str) -> bool {
        columns::tables().any(|(known, _)| known == name) || (self.with_views && view(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_view_hides_a_table() {
        for (name, _) in VIEWS {
            assert!(!columns::tables().any(|(table, _)| table == *name), "{name}");
        }
    }
}
