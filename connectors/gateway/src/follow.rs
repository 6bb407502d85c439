//! The role `gateway`: reads the log for all sockets, and writes for them.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use pipeline::{
    ports::{LogError, NewRecord, Reader, Record, Start, Visibility},
    topics::Topic,
};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    entry::Entry,
    gateway::Gateway,
    presence::{Changed, INSTANCE_SIGN, follow_table},
    session::Reason,
};
use runtime::supervisor::{Failure, RoleContext};

/// Records of the inbox that are read at once.
const RECORDS_AT_ONCE: usize = 256;
/// What is acknowledged within this time is written together: after a crash
/// that much is told again.
const CURSORS_GATHER: Duration = Duration::from_millis(25);
/// After a log that could not take something.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// After a stop: how long sockets may take to say goodbye, and what they leave
/// behind to be written.
const GOODBYE: Duration = Duration::from_secs(2);
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between two looks at who was revoked: a change of the directory is heard at
/// once, a flood of them costs one look each time.
const REVOKED_PAUSE: Duration = Duration::from_millis(250);

impl Gateway {
    /// Takes agents until told to stop, or until the log fails.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        self.begin(&mut tasks).await?;
        self.is_open.store(true, SeqCst);
        context.running();
        let failed = tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(Err(error))) => Some(Failure::from(error)),
                _ => Some("a part of the gateway ended by itself".into()),
            },
            () = context.told_to_stop() => None,
        };
        if let Some(failure) = failed {
            // The sockets stay: they go on when the role does.
            self.is_open.store(false, SeqCst);
            return Err(failure);
        }
        self.stop(tasks).await;
        Ok(())
    }

    /// Reads what the cluster knows, then follows it.
    async fn begin(self: &Arc<Self>, tasks: &mut JoinSet<Result<(), LogError>>) -> Result<(), LogError> {
        self.online().heard(&self.instance);
        let (known, cursors_known) = oneshot::channel();
        let gateway = Arc::clone(self);
        tasks.spawn(async move {
            let (log, of_cursors) = (Arc::clone(&gateway.log), Arc::clone(&gateway));
            let apply = move |record: &Record| of_cursors.cursors.apply(record);
            follow_table(log, Topic::AgentsCursors, apply, move || _ = known.send(())).await
        });
        let (known, presence_known) = oneshot::channel();
        let gateway = Arc::clone(self);
        tasks.spawn(async move {
            let log = Arc::clone(&gateway.log);
            let of_presence = Arc::clone(&gateway);
            let changed = move |changed: &Changed| of_presence.decide(changed);
            gateway.online().follow(log, changed, move || _ = known.send(())).await
        });
        let ends = self.log.lag("", &[Topic::AgentsInbox]).await?;
        for partition in 0..self.log.partitions() {
            let end = ends.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.end_offset);
            self.partitions[partition as usize].restart(end);
            let reader = self.log.read(Topic::AgentsInbox, partition, Start::Offset(end), Visibility::Early).await?;
            tasks.spawn(Arc::clone(self).read_inbox(partition, reader));
            tasks.spawn(Arc::clone(self).scan(partition));
        }
        tasks.spawn(Arc::clone(self).write_cursors());
        tasks.spawn(Arc::clone(self).write_presence());
        tasks.spawn(Arc::clone(self).watch_clients());
        tasks.spawn(Arc::clone(self).watch_brake());
        tasks.spawn(Arc::clone(self).watch_instances());
        let _ = tokio::join!(cursors_known, presence_known);
        Ok(())
    }

    async fn read_inbox(self: Arc<Self>, partition: u32, mut reader: Box<dyn Reader>) -> Result<(), LogError> {
        loop {
            let records = reader.next(RECORDS_AT_ONCE).await?;
            let Some(next) = records.last().map(|last| last.position.offset + 1) else { continue };
            self.partitions[partition as usize].push(parsed(&records), next);
        }
    }

    /// Serves the sockets that are older than the ring, all that wait at once.
    async fn scan(self: Arc<Self>, partition: u32) -> Result<(), LogError> {
        let inbox = &self.partitions[partition as usize];
        loop {
            let Some(from) = inbox.begin_scan() else {
                inbox.wanted().await;
                continue;
            };
            self.counts.scans.inc();
            let start = Start::Offset(from);
            let mut reader = match self.log.read(Topic::AgentsInbox, partition, start, Visibility::Early).await {
                Ok(reader) => reader,
                Err(LogError::Gone { first, .. }) => {
                    inbox.scan_gone(first);
                    continue;
                }
                Err(error) if error.can_retry() => {
                    sleep(RETRY_AFTER).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            loop {
                let records = match reader.ready(RECORDS_AT_ONCE).await {
                    Ok(records) => records,
                    Err(LogError::Gone { first, .. }) => {
                        inbox.scan_gone(first);
                        break;
                    }
                    Err(error) => return Err(error),
                };
                // And not the last record's: a partition may end in offsets that
                // nobody sees, and who waits behind those would ask for ever.
                let next = reader.position();
                if !inbox.scanned(&parsed(&records), next, records.is_empty()) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    async fn write_cursors(self: Arc<Self>) -> Result<(), LogError> {
        loop {
            self.cursors.dirtied().await;
            // Nobody waits for a cursor, and each write is a sync of the disk.
            sleep(CURSORS_GATHER).await;
            let batch = self.cursors.batch(self.log.partitions(), self.clock_ms());
            // On its own, so that a stop between now and the answer loses nothing.
            let appending = tokio::spawn(self.log.append(batch.clone()));
            match appending.await.unwrap_or(Err(LogError::Closed)) {
                Ok(_) => {}
                Err(error) if error.can_retry() => {
                    self.cursors.put_back(&batch);
                    sleep(RETRY_AFTER).await;
                }
                Err(error) => {
                    self.cursors.put_back(&batch);
                    return Err(error);
                }
            }
        }
    }

    async fn write_presence(self: Arc<Self>) -> Result<(), LogError> {
        loop {
            let batch = self.outgoing();
            if batch.is_empty() {
                self.posted().await;
                continue;
            }
            self.append_for_certain(batch).await?;
        }
    }

    async fn append_for_certain(&self, batch: Vec<NewRecord>) -> Result<(), LogError> {
        loop {
            match self.log.append(batch.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.can_retry() => sleep(RETRY_AFTER).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn watch_clients(self: Arc<Self>) -> Result<(), LogError> {
        let mut changes = self.directory.changes();
        while changes.changed().await.is_ok() {
            self.cut_revoked();
            sleep(REVOKED_PAUSE).await;
        }
        Err(LogError::Closed)
    }

    /// Cuts the sockets of whoever is stopped, at once.
    async fn watch_brake(self: Arc<Self>) -> Result<(), LogError> {
        let mut changes = self.kill_switch.changes();
        loop {
            self.cut_stopped();
            if changes.changed().await.is_err() {
                return Err(LogError::Closed);
            }
        }
    }

    /// Says that this instance lives, and looks which others do not.
    async fn watch_instances(self: Arc<Self>) -> Result<(), LogError> {
        let mut signs = interval(INSTANCE_SIGN);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            signs.tick().await;
            self.online().heard(&self.instance);
            self.post(self.sign(true));
            for (tenant, agent, socket) in self.online().expired() {
                // Whoever sees it first takes it out; a second time does no harm.
                self.post(self.record_of(&tenant, &agent, &socket, None));
                self.decide(&Changed { tenant, agent });
            }
        }
    }

    /// Everybody out, and what they leave behind into the log.
    async fn stop(self: &Arc<Self>, mut tasks: JoinSet<Result<(), LogError>>) {
        self.is_open.store(false, SeqCst);
        self.polls.close_all();
        let goodbye = async {
            while self.sockets() > 0 {
                self.each_seat(|seat| seat.cut(Reason::GoingAway));
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::warn!(sockets = self.sockets(), "sockets that did not say goodbye are cut off");
        }
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let last_words = async {
            self.post(self.sign(false));
            loop {
                let batch = self.cursors.batch(self.log.partitions(), self.clock_ms());
                let records: Vec<_> = batch.into_iter().chain(self.outgoing()).collect();
                if records.is_empty() {
                    return Ok(());
                }
                self.append_for_certain(records).await?;
            }
        };
        match timeout(LAST_WORDS, last_words).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error: LogError = error;
                tracing::warn!(%error, "the last cursors were not written: some events will be told again");
            }
            Err(_) => tracing::warn!("the last cursors were not written in time: some events will be told again"),
        }
    }
}

/// What of some records is for agents. One that is not understood is said and
/// passed over: it must not keep all the others from being told.
fn parsed(records: &[Record]) -> Vec<Arc<Entry>> {
    let entries = records.iter().filter_map(|record| {
        let offset = record.position.offset;
        match Entry::parse(offset, record.value.as_deref()?) {
            Ok(entry) => Some(Arc::new(entry)),
            Err(error) => {
                tracing::warn!(partition = record.position.partition, offset, %error, "no entry of the inbox");
                None
            }
        }
    });
    entries.collect()
}
