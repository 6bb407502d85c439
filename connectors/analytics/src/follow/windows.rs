//! A query over windows: the answer to each window when it is over, by the very
//! query, over the rows of that window alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch, UInt32Array},
        compute::take_record_batch,
        datatypes::{SchemaRef, TimestampMillisecondType},
    },
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::DataFusionError,
    execution::SessionState,
    logical_expr::{Expr, LogicalPlan},
};
use futures_util::StreamExt;
use pipeline::{
    ports::{Clock, Log, LogError, Position, Reader, Record, Start, Visibility},
    topics::{Topic, partition_of},
};
use runtime::sql::{Cursor, Question, Refused, Told};
use tokio::sync::{Semaphore, mpsc};

use super::closing::{Closing, Fate, Shape};
use crate::{
    answer, catalog,
    columns::{self, Kind, LOG_AT},
    functions::windows::shape_of,
    limits::Limits,
    statement,
    table::{Reads, Rows, Source, Whose, Window, is_of},
};

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 1_024;

/// How often is looked at the clock, at most.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The windows that a query asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    topic: Topic,
    shape: Shape,
    /// The columns of the topic's table that are read, in their order.
    columns: Vec<usize>,
    /// Their schema.
    schema: SchemaRef,
    /// Which of them is the time.
    time: usize,
}

/// The windows of a plan, if it has any.
pub fn asked(state: &SessionState, plan: &LogicalPlan) -> Result<Option<Asked>, Refused> {
    let mut found: Vec<(Shape, String)> = Vec::new();
    let mut look = |part: &Expr| {
        if let Some((shape, time)) = shape_of(part)? {
            let Expr::Column(column) = time else {
                return Err(DataFusionError::Plan(
                    "a window that is followed is over a column of the table".to_owned(),
                ));
            };
            found.push((shape, column.name.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    };
    let walked = plan.apply_with_subqueries(|node| node.apply_expressions(|expression| expression.apply(&mut look)));
    walked.map_err(invalid)?;
    found.dedup();
    let [(shape, time)] = found.as_slice() else {
        return match found.is_empty() {
            true => Ok(None),
            false => Err(Refused::Invalid("a query that is followed has windows of one kind".to_owned())),
        };
    };
    let mut scanned: Vec<(String, Option<Vec<usize>>)> = Vec::new();
    let optimized = state.optimize(plan).map_err(invalid)?;
    let walked = optimized.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scanned.push((scan.table_name.table().to_owned(), scan.projection.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(invalid)?;
    let mut tables = scanned.iter().map(|(name, _)| name.as_str());
    let name = tables.next().filter(|first| tables.all(|other| other == *first));
    let topic = columns::tables().find(|(known, _)| Some(known.as_str()) == name).map(|(_, topic)| topic);
    let Some(topic) = topic else {
        return Err(Refused::Invalid("windows that are followed are over one table".to_owned()));
    };
    let is_time = columns::columns(topic).iter().any(|column| column.name == time && column.kind == Kind::Time);
    if !is_time && time != LOG_AT {
        return Err(Refused::Invalid(format!("{time} is no time of that table")));
    }
    let table = columns::schema(topic);
    let all: Vec<usize> = (0..table.fields().len()).collect();
    let time = table.index_of(time).map_err(|error| Refused::Invalid(error.to_string()))?;
    let is_read = |column: &usize| {
        let of_scan = |(_, projection): &(_, Option<Vec<usize>>)| projection.as_ref().unwrap_or(&all).contains(column);
        *column == time || scanned.iter().any(of_scan)
    };
    let columns: Vec<usize> = all.iter().copied().filter(is_read).collect();
    let schema = table.project(&columns).map_err(|error| Refused::Invalid(error.to_string()))?;
    let time = columns.iter().position(|column| *column == time).unwrap_or(0);
    Ok(Some(Asked { topic, shape: *shape, columns, schema: Arc::new(schema), time }))
}

fn invalid(error: DataFusionError) -> Refused {
    Refused::Invalid(error.find_root().strip_backtrace())
}

/// What a query over windows is followed with.
pub struct Means {
    /// What is read.
    pub source: Source,
    /// What one window's query may take.
    pub limits: Limits,
    /// Queries at the same time.
    pub running: Arc<Semaphore>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How late a row may come.
    pub late_ms: i64,
}

/// A query over windows that is followed.
pub struct Windows {
    means: Means,
    question: Question,
    asked: Asked,
    rows: Rows,
    reader: Box<dyn Reader>,
    closing: Closing<RecordBatch>,
    /// What is read next.
    next: u64,
    /// What was read before somebody went away was counted then.
    counted_from: u64,
    newest_ms: i64,
    watermark_ms: i64,
    late: u64,
}

impl Windows {
    /// From a cursor on; without one from the windows that are open now.
    pub async fn begin(
        means: Means,
        question: Question,
        asked: Asked,
        after: Option<Cursor>,
    ) -> Result<Windows, Refused> {
        let failed = |error: LogError| Refused::Failed(error.to_string());
        let partition = partition_of(&question.tenant, means.source.log.partitions());
        let log = Arc::clone(&means.source.log);
        let (first, counted_from, start_ms) = match after {
            None => {
                let start_ms = asked.shape.first_start(now_ms(&*means.clock));
                let from_ms = u64::try_from(start_ms - means.late_ms).unwrap_or(0);
                let first = first_at(&*log, asked.topic, partition, from_ms).await.map_err(failed)?;
                (first, first, start_ms)
            }
            Some(Cursor::Windows { first, next, start_ms }) if start_ms.rem_euclid(asked.shape.slide_ms) == 0 => {
                (first, next, start_ms)
            }
            Some(_) => return Err(Refused::Invalid("the cursor is of another query".to_owned())),
        };
        let reader = read_from(&*log, asked.topic, partition, first).await.map_err(failed)?;
        let mut windows = Windows {
            rows: Rows::new(asked.topic, &question.tenant, Arc::clone(&asked.schema)),
            closing: Closing::new(asked.shape, start_ms),
            reader,
            means,
            question,
            asked,
            next: first,
            counted_from,
            newest_ms: i64::MIN,
            watermark_ms: i64::MIN,
            late: 0,
        };
        // A query that has no answer is told now, not when a window is over.
        windows.answer(start_ms).await?;
        Ok(windows)
    }

    /// Tells windows as they are over, for as long as somebody listens.
    pub async fn tell(mut self, to: mpsc::Sender<Result<Told, Refused>>) {
        let ended = tokio::select! {
            ended = self.tell_all(&to) => ended,
            () = to.closed() => return,
        };
        if let Err(refused) = ended {
            let _ = to.send(Err(refused)).await;
        }
    }

    async fn tell_all(&mut self, to: &mpsc::Sender<Result<Told, Refused>>) -> Result<(), Refused> {
        let failed = |error: LogError| Refused::Failed(error.to_string());
        loop {
            let records = self.reader.ready(RECORDS_AT_ONCE).await.map_err(failed)?;
            let is_end = records.is_empty();
            let counted = self.late;
            self.take(&records)?;
            self.watermark_ms = self.watermark_ms.max(self.over_ms(is_end));
            while let Some(start_ms) = self.closing.over(self.watermark_ms) {
                let mut rows = self.answer(start_ms).await?.into_iter().peekable();
                // Whoever goes away in the middle of a window gets all of it again.
                let before = self.cursor();
                self.closing.told(start_ms);
                while let Some(json) = rows.next() {
                    let cursor = if rows.peek().is_some() { before } else { self.cursor() };
                    if to.send(Ok(Told::Row { cursor, json })).await.is_err() {
                        return Ok(());
                    }
                }
            }
            self.closing.pass(self.watermark_ms);
            if self.late > counted && to.send(Ok(Told::Late { rows: self.late })).await.is_err() {
                return Ok(());
            }
            if is_end {
                self.wait().await.map_err(failed)?;
            }
        }
    }

    /// The time that is over: what is newest is at most as new as the clock says,
    /// lest a record from the future makes all others late; and where nothing more
    /// is to be read, time passes by itself.
    fn over_ms(&self, is_end: bool) -> i64 {
        let now_ms = now_ms(&*self.means.clock);
        let newest_ms = if is_end { now_ms } else { self.newest_ms.min(now_ms) };
        newest_ms.saturating_sub(self.means.late_ms)
    }

    /// Until there is more to read or a window is over.
    async fn wait(&mut self) -> Result<(), LogError> {
        let end_ms = self.closing.next_end_ms().map(|end_ms| end_ms.saturating_add(self.means.late_ms));
        let Some(end_ms) = end_ms else {
            return self.peek().await;
        };
        let left_ms = u64::try_from(end_ms.saturating_sub(now_ms(&*self.means.clock))).unwrap_or(0);
        let left = Duration::from_millis(left_ms).max(LOOK_AGAIN);
        tokio::time::timeout(left, self.peek()).await.unwrap_or(Ok(()))
    }

    /// Waits for a record, and leaves it where it is.
    async fn peek(&mut self) -> Result<(), LogError> {
        let records = self.reader.next(1).await?;
        if let Some(first) = records.first() {
            let Position { topic, partition, offset } = first.position;
            self.reader = read_from(&*self.means.source.log, topic, partition, offset).await?;
        }
        Ok(())
    }

    fn take(&mut self, records: &[Record]) -> Result<(), Refused> {
        let Some(last) = records.last() else { return Ok(()) };
        self.next = last.position.offset + 1;
        let own: Vec<Record> = records.iter().filter(|record| is_of(&self.question.tenant, record)).cloned().collect();
        let refusal = |error: DataFusionError| self.means.limits.refusal(&error);
        let batch = self.rows.batch(&own).map_err(refusal)?;
        let times = batch.column(self.asked.time).as_primitive::<TimestampMillisecondType>().clone();
        let mut panes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, (record, at_ms)) in (0..).zip(own.iter().zip(&times)) {
            let Some(at_ms) = at_ms else { continue };
            self.newest_ms = self.newest_ms.max(at_ms);
            let fate = self.closing.fate(at_ms);
            if matches!(fate, Fate::Late | Fate::TooLate) && record.position.offset >= self.counted_from {
                self.late += 1;
            }
            if matches!(fate, Fate::Kept | Fate::Late) {
                panes.entry(self.asked.shape.pane(at_ms)).or_default().push(row);
            }
        }
        for (pane_ms, rows) in panes {
            let first = rows.first().and_then(|row| own.get(*row as usize)).map_or(0, |record| record.position.offset);
            let kept = take_record_batch(&batch, &UInt32Array::from(rows));
            let kept = kept.map_err(|error| self.means.limits.refusal(&error.into()))?;
            self.closing.keep(pane_ms, first, kept);
        }
        let held: usize = self.closing.waiting().map(RecordBatch::get_array_memory_size).sum();
        self.means.limits.hold_memory(held)
    }

    fn cursor(&self) -> Cursor {
        let first = self.closing.first_offset().unwrap_or(self.next);
        Cursor::Windows { first, next: self.next, start_ms: self.closing.next_ms() }
    }

    /// The query's rows of one window, as JSON.
    async fn answer(&mut self, start_ms: i64) -> Result<Vec<String>, Refused> {
        let limits = self.means.limits;
        let Ok(_running) = self.means.running.acquire().await else { return Err(Refused::Busy) };
        let window = Window {
            topic: self.asked.topic,
            start_ms,
            columns: self.asked.columns.clone(),
            schema: Arc::clone(&self.asked.schema),
            batches: self.closing.rows(start_ms).cloned().collect(),
        };
        let source = Source { reads: Reads::Window(Arc::new(window)), ..self.means.source.clone() };
        let work = async {
            let refusal = |error| limits.refusal(&error);
            let session = catalog::session(&source, &Whose::tenant(&self.question.tenant), &limits).map_err(refusal)?;
            let frame = statement::frame(&session, &self.question.text).await?.map_err(refusal)?;
            let mut batches = frame.execute_stream().await.map_err(refusal)?;
            let (mut lines, mut bytes) = (Vec::new(), 0);
            while let Some(batch) = batches.next().await {
                let told = answer::lines(&batch.map_err(refusal)?).map_err(refusal)?;
                bytes += told.iter().map(String::len).sum::<usize>();
                lines.extend(told);
                limits.hold(lines.len(), bytes)?;
            }
            Ok(lines)
        };
        tokio::time::timeout(limits.timeout, work).await.unwrap_or_else(|_| Err(limits.slow()))
    }
}

fn now_ms(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.now_ms()).unwrap_or(i64::MAX)
}

async fn read_from(log: &dyn Log, topic: Topic, partition: u32, first: u64) -> Result<Box<dyn Reader>, LogError> {
    match log.read(topic, partition, Start::Offset(first), Visibility::Durable).await {
        // Retention was faster.
        Err(LogError::Gone { .. }) => log.read(topic, partition, Start::Oldest, Visibility::Durable).await,
        other => other,
    }
}

/// The first record that was made at a time or later, found by halves.
async fn first_at(log: &dyn Log, topic: Topic, partition: u32, at_ms: u64) -> Result<u64, LogError> {
    let lags = log.lag("", &[topic]).await?;
    let lag = lags.iter().find(|lag| lag.partition == partition);
    let (mut low, mut high) = lag.map_or((0, 0), |lag| (lag.first_offset, lag.end_offset));
    while low < high {
        let middle = low + (high - low) / 2;
        let records = read_from(log, topic, partition, middle).await?.ready(1).await?;
        match records.first() {
            Some(record) if record.at_ms < at_ms => low = record.position.offset.max(middle) + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
