//! The lake's files of one tenant as a plan.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::DFSchema,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig},
    },
    error::Result,
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, filter::FilterExecBuilder},
    prelude::{col, lit},
};

use crate::{
    columns::TENANT,
    lake::{File, Files},
};

/// Whose rows of which table.
pub struct Past<'a> {
    /// The lake's files.
    pub files: &'a Files,
    /// All columns of the table.
    pub table: &'a SchemaRef,
    /// The tenant.
    pub tenant: &'a str,
}

impl Past<'_> {
    /// What reads these files; nothing where there are none. Whatever the query
    /// says, only the tenant's rows leave it.
    pub async fn plan(
        &self,
        state: &dyn Session,
        files: &[&File],
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if files.is_empty() {
            return Ok(None);
        }
        let urls = files.iter().map(|file| self.files.url(&file.path)).collect::<Result<Vec<_>>>()?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::clone(self.table));
        let listing = ListingTable::try_new(config)?;
        let mut wanted = match projection {
            Some(wanted) => wanted.clone(),
            None => (0..self.table.fields().len()).collect(),
        };
        let shown = wanted.len();
        let tenant = self.table.index_of(TENANT)?;
        if !wanted.contains(&tenant) {
            wanted.push(tenant);
        }
        let whose = col(TENANT).eq(lit(self.tenant));
        let filters: Vec<Expr> = filters.iter().cloned().chain([whose.clone()]).collect();
        let rows = listing.scan(state, Some(&wanted), &filters, None).await?;
        let whose = state.create_physical_expr(whose, &DFSchema::try_from(rows.schema().as_ref().clone())?)?;
        let own = FilterExecBuilder::new(whose, rows).apply_projection(Some((0..shown).collect()))?.build()?;
        Ok(Some(Arc::new(own)))
    }
}
