//! Reads one lane without a group.

use std::sync::Arc;

use pipeline::ports::{LogError, Pending, Reader, Record, Start, Visibility};
use tokio::sync::Notify;

use super::{
    cursor::{Cursor, Step},
    frame::Lane,
    shared::Shared,
    tail::Want,
};

pub(super) struct LaneReader {
    shared: Arc<Shared>,
    lane: Lane,
    cursor: Cursor,
    alarm: Arc<Notify>,
    /// No record was read yet and the oldest is wanted, whichever that is.
    from_oldest: bool,
}

impl LaneReader {
    pub(super) fn open(
        shared: &Arc<Shared>,
        lane: Lane,
        from: Start,
        visibility: Visibility,
    ) -> Result<LaneReader, LogError> {
        let early = visibility == Visibility::Early;
        let alarm = Arc::new(Notify::new());
        let end = {
            let mut state = shared.order.lock();
            state.condition.check_read()?;
            state.listen(lane, early, &alarm);
            state.end(lane)
        };
        let next = match from {
            Start::Oldest => 0,
            Start::Newest => end,
            Start::Offset(offset) => offset,
        };
        let cursor = Cursor::new(shared.clone(), vec![Want { lane, next }], early);
        let reader = LaneReader { shared: shared.clone(), lane, cursor, alarm, from_oldest: from == Start::Oldest };
        reader.check_kept()?;
        Ok(reader)
    }

    /// Whether the next record still exists; what compaction took from a table
    /// was replaced and is not missed.
    fn check_kept(&self) -> Result<(), LogError> {
        let asked = self.cursor.next();
        if self.from_oldest || self.lane.is_compacted() {
            return Ok(());
        }
        let first = Cursor::first(&self.shared, self.lane);
        let topic = pipeline::topics::Topic::from_id(self.lane.topic).map_or("", |topic| topic.name());
        if asked < first { Err(LogError::Gone { topic, asked, first }) } else { Ok(()) }
    }

    async fn read(&mut self, records_max: usize, waits: bool) -> Result<Vec<Record>, LogError> {
        loop {
            match self.cursor.step(records_max)? {
                Step::Records(records) => {
                    self.from_oldest = false;
                    return Ok(records);
                }
                Step::Nothing if waits => self.alarm.notified().await,
                Step::Nothing => return Ok(Vec::new()),
                Step::Behind => {
                    self.check_kept()?;
                    // On a copy, because this future may be dropped meanwhile.
                    let mut cursor = self.cursor.clone();
                    let reading = tokio::task::spawn_blocking(move || cursor.read_disk().map(|()| cursor));
                    self.cursor = reading.await.map_err(|_| LogError::Closed)??;
                }
            }
        }
    }
}

impl Reader for LaneReader {
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(self.read(records_max.max(1), true))
    }

    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(self.read(records_max.max(1), false))
    }

    fn position(&self) -> u64 {
        self.cursor.next()
    }
}

impl Drop for LaneReader {
    fn drop(&mut self) {
        self.shared.order.lock().unlisten(self.lane, &self.alarm);
    }
}
