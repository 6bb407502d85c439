//! A topic of one tenant as a table: of the lake's files those rows that are
//! the tenant's, and from where the lake ends, of the partition that the tenant
//! lives in, the records whose key is the tenant's.

mod asked;
mod past;
mod rows;
mod stream;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    catalog::{Session, TableProvider, memory::MemorySourceConfig},
    common::{internal_err, plan_err},
    error::{DataFusionError, Result},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, streaming::StreamingTableExec, union::UnionExec},
};
use pipeline::{
    ports::Log,
    topics::{Topic, partition_of},
};

use self::{asked::Asked, past::Past, stream::Records};
use crate::{columns, lake::Lake};

pub use rows::Rows;
pub use stream::is_of;

/// Where rows come from.
#[derive(Clone)]
pub struct Source {
    /// What is recent.
    pub log: Arc<dyn Log>,
    /// What is past, if somebody keeps it.
    pub lake: Arc<Lake>,
    /// Which of it.
    pub reads: Reads,
}

/// What of a topic is read.
#[derive(Clone, Debug, Default)]
pub enum Reads {
    /// All that there was when the query began.
    #[default]
    All,
    /// What is written from then on, for as long as somebody listens.
    Follow(Arc<Follow>),
    /// The rows of one window.
    Window(Arc<Window>),
}

/// The rows of one window of time.
#[derive(Debug)]
pub struct Window {
    /// Of which topic.
    pub topic: Topic,
    /// When it begins.
    pub start_ms: i64,
    /// Which columns of the topic's table they have.
    pub columns: Vec<usize>,
    /// The schema of those.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl Window {
    fn plan(&self, projection: Option<&Vec<usize>>, table: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..table.fields().len()).collect();
        let place = |wanted: &usize| self.columns.iter().position(|column| column == wanted);
        let places: Option<Vec<usize>> = projection.unwrap_or(&all).iter().map(place).collect();
        let Some(places) = places else { return internal_err!("a column of the window was not kept") };
        let batches = [self.batches.clone()];
        Ok(MemorySourceConfig::try_new_exec(&batches, Arc::clone(&self.schema), Some(places))?)
    }
}

/// How a query is followed.
#[derive(Debug, Default)]
pub struct Follow {
    /// After this offset; from now on where there is none.
    pub after: Option<u64>,
    /// The offset of the record that was read last: rows come one by one, so it
    /// is that of the row that comes out.
    pub read: AtomicU64,
    /// Whether a table is read already: there is one cursor.
    begun: AtomicBool,
}

impl Follow {
    /// After an offset.
    pub fn after(after: Option<u64>) -> Arc<Follow> {
        Arc::new(Follow { after, ..Follow::default() })
    }
}

/// Whose rows a session sees. It is set once, when it is known who asks; until
/// then there are none.
#[derive(Clone, Debug, Default)]
pub struct Whose(Arc<OnceLock<String>>);

impl Whose {
    /// A tenant's.
    pub fn tenant(tenant: &str) -> Whose {
        let whose = Whose::default();
        whose.set(tenant);
        whose
    }

    /// Says whose, once.
    pub fn set(&self, tenant: &str) {
        let _ = self.0.set(tenant.to_owned());
    }

    /// The tenant.
    pub fn get(&self) -> Result<&str> {
        let tenant = self.0.get().map(String::as_str).filter(|tenant| !tenant.is_empty());
        tenant.ok_or_else(|| DataFusionError::Plan("there is no tenant to ask for".to_owned()))
    }
}

/// One topic of one tenant.
pub struct TopicTable {
    source: Source,
    whose: Whose,
    topic: Topic,
    schema: SchemaRef,
}

impl fmt::Debug for TopicTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicTable({})", self.topic.name())
    }
}

impl TopicTable {
    /// Of a log and its lake.
    pub fn new(source: Source, whose: Whose, topic: Topic) -> Self {
        TopicTable { source, whose, topic, schema: columns::schema(topic) }
    }
}

#[async_trait]
impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // What is read less of is still held against the filter.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(wanted) => Arc::new(self.schema.project(wanted)?),
            None => Arc::clone(&self.schema),
        };
        let mut asked = Asked::default();
        for filter in filters {
            asked.narrow(filter);
        }
        let (tenant, log) = (self.whose.get()?.to_owned(), Arc::clone(&self.source.log));
        let partition = partition_of(&tenant, log.partitions());
        if let Reads::Window(window) = &self.source.reads {
            if window.topic != self.topic {
                return plan_err!("a query over windows reads one table");
            }
            return window.plan(projection, &self.schema);
        }
        if let Reads::Follow(follow) = &self.source.reads {
            if follow.begun.swap(true, Ordering::Relaxed) {
                return plan_err!("a query that is followed reads one table, once");
            }
            // Where it begins is settled before anybody is told that it has.
            asked.first = match follow.after {
                Some(after) => after.saturating_add(1),
                None => {
                    let lags = log.lag("", &[self.topic]).await.map_err(stream::external)?;
                    lags.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.end_offset)
                }
            };
            let follow = Some(Arc::clone(follow));
            let schema_of = Arc::clone(&schema);
            let records = Records { log, topic: self.topic, partition, tenant, asked, schema: schema_of, follow };
            let endless = StreamingTableExec::try_new(schema, vec![Arc::new(records)], None, [], true, limit)?;
            return Ok(Arc::new(endless));
        }
        // What is in the files is not read from the log: nothing is there twice.
        let manifest = self.source.lake.manifest(log.identity()).await?;
        let topic = self.topic.name();
        let files: Vec<_> = manifest.files_of(topic, partition, &tenant).filter(|file| asked.may_be_in(file)).collect();
        let past = Past { files: self.source.lake.files(), table: &self.schema, tenant: &tenant };
        let past = past.plan(state, &files, projection, filters).await?;
        asked.first = asked.first.max(manifest.next(topic, partition));
        asked.after_ms = manifest.forgotten.get(&tenant).copied();
        let records =
            Records { log, topic: self.topic, partition, tenant, asked, schema: Arc::clone(&schema), follow: None };
        let recent: Arc<dyn ExecutionPlan> =
            Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(records)], None, [], false, limit)?);
        match past {
            Some(past) => UnionExec::try_new(vec![past, recent]),
            None => Ok(recent),
        }
    }
}
