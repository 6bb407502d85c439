//! A reader of one partition, for tasks: where it starts, and when it is at the
//! end. Waiting costs nothing and can be given up at any point.

use std::sync::Arc;

use pipeline::{
    ports::{LogError, Pending, Reader, Record, Start},
    topics::Topic,
};

use tokio::sync::{Mutex, watch};

use super::{
    blocking,
    feed::{Bell, Feed, Feeds},
};

/// See [`Reader`].
pub(super) struct KafkaReader {
    /// Away only while a thread asks the brokers with it.
    feed: Arc<Mutex<Feed>>,
    bell: Arc<Bell>,
    /// True once the log takes nothing more and gives nothing more.
    closed: watch::Receiver<bool>,
    /// Records before this are passed over: the start lay beyond the end.
    from: u64,
    position: u64,
}

impl KafkaReader {
    pub(super) async fn open(
        feeds: Arc<Feeds>,
        topic: Topic,
        partition: u32,
        start: Start,
        closed: watch::Receiver<bool>,
    ) -> Result<KafkaReader, LogError> {
        let bell = Arc::new(Bell::default());
        let rung = bell.clone();
        let open = move || {
            let (first, end) = feeds.bounds(topic, partition)?;
            let from = match start {
                Start::Oldest => first,
                Start::Newest => end,
                Start::Offset(asked) if asked < first && !topic.is_compacted() => {
                    return Err(LogError::Gone { topic: topic.name(), asked, first });
                }
                Start::Offset(asked) => asked.max(first),
            };
            Ok((feeds.open(topic, partition, from.min(end), end, &rung)?, from))
        };
        let (feed, from) = blocking(open).await?;
        Ok(KafkaReader { feed: Arc::new(Mutex::new(feed)), bell, closed, from, position: from })
    }

    /// Waits for news, of records or of the log's end.
    async fn heard(&mut self) {
        tokio::select! {
            () = self.bell.heard() => {}
            // Who dropped the log without closing it tells nobody anything.
            Ok(()) = async { self.closed.wait_for(|closed| *closed).await.map(drop) } => {}
        }
    }

    async fn take(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        if *self.closed.borrow() {
            return Err(LogError::Closed);
        }
        let mut records = Vec::new();
        let mut feed = self.feed.lock().await;
        loop {
            feed.take(records_max.max(1), &mut records)?;
            let taken = records.len();
            self.position = feed.position().max(self.from);
            records.retain(|record| record.position.offset >= self.from);
            if !records.is_empty() || taken == 0 {
                return Ok(records);
            }
        }
    }
}

impl Reader for KafkaReader {
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            loop {
                let records = self.take(records_max).await?;
                if !records.is_empty() {
                    return Ok(records);
                }
                self.heard().await;
            }
        })
    }

    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            let records = self.take(records_max).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            let feed = self.feed.clone();
            let ask = move || {
                let mut feed = feed.blocking_lock();
                let end = feed.end()?;
                if feed.is_past(end) == Some(false) {
                    feed.again(end)?;
                }
                Ok(end)
            };
            let end = blocking(ask).await?;
            loop {
                let records = self.take(records_max).await?;
                if !records.is_empty() || self.feed.lock().await.is_past(end) == Some(true) {
                    return Ok(records);
                }
                self.heard().await;
            }
        })
    }

    fn position(&self) -> u64 {
        self.position
    }
}
