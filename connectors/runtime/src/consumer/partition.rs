//! One partition of a group: records are read, handed to the consumer, and what
//! comes of them is committed with how far the group is.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use pipeline::ports::{Batch, Log, LogError, NewRecord, Record, Session, Start, Visibility};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};

use super::{
    Commits, Consumer, ConsumerSettings, Early, EarlyOutputs, GroupLoad, InHand, Parsed, Processed, dead_letter,
    in_flight::Open, lanes::OrderedLanes, load::PartitionLoad, parking::Parking,
};
use crate::sessions::Stop;

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 256;
/// How long a poll waits while nothing is in hand: how late a stop is heard; while
/// something waits for its time; and while something happens: how late a result is
/// committed.
const PATIENCE_IDLE: Duration = Duration::from_millis(250);
const PATIENCE_WAITING: Duration = Duration::from_millis(5);
const PATIENCE_BUSY: Duration = Duration::from_millis(2);
/// Something happened so lately that more will.
const BUSY: Duration = Duration::from_millis(100);

/// Why a record is buried that the consumer's code panicked at.
const DEFECT: &str = "defect: it panicked; see the log";

/// Does what the partition's records ask for until the session is fenced, the log
/// fails, or `stop` says so. The work itself is done on `shared`.
pub(super) async fn drive<C: Consumer>(
    session: &mut dyn Session,
    log: &dyn Log,
    consumer: &C,
    load: &GroupLoad,
    shared: &Handle,
    stop: &Stop,
) -> Result<(), LogError> {
    let partition = session.partition();
    let remembered = consumer.open(partition).await?;
    let (early, mut wrote_early) = mpsc::unbounded_channel();
    let mut work = PartitionWork {
        consumer,
        log,
        shared,
        settings: consumer.settings(),
        partition,
        remembered,
        load: PartitionLoad::new(load, partition),
        open: Open::default(),
        parking: Parking::default(),
        lanes: OrderedLanes::default(),
        running: JoinSet::new(),
        under_way: HashMap::new(),
        later: Vec::new(),
        early: EarlyOutputs(early),
        outputs: Vec::new(),
        behind: BTreeMap::new(),
        want_durable: Vec::new(),
        defects: Vec::new(),
        busy_at: Instant::now(),
    };
    while !stop() {
        while let Some(ended) = work.running.try_join_next_with_id() {
            work.take(ended);
        }
        while let Ok(early) = wrote_early.try_recv() {
            work.write_early(early);
        }
        work.bury_defects().await?;
        work.commit(session).await?;
        work.unpark().await?;
        work.begin_waiting();
        let patience = work.patience();
        let room = work.settings.open_max.saturating_sub(work.open.span());
        if room == 0 {
            tokio::select! {
                Some(ended) = work.running.join_next_with_id() => work.take(ended),
                Some(early) = wrote_early.recv() => work.write_early(early),
                () = sleep(patience) => {}
            }
            continue;
        }
        for record in session.poll(room.min(RECORDS_AT_ONCE), patience).await? {
            work.read(record);
        }
        work.begin_waiting();
    }
    // Whoever waits for something to be durable hears that it will not be.
    wrote_early.close();
    while let Ok(early) = wrote_early.try_recv() {
        if early.durable.is_none() {
            work.outputs.extend(early.outputs);
        }
    }
    let grace = work.settings.stop_grace;
    let finishing = async {
        while let Some(ended) = work.running.join_next_with_id().await {
            work.take(ended);
        }
    };
    let _ = timeout(grace, finishing).await;
    work.bury_defects().await?;
    work.commit(session).await?;
    session.settle().await
}

/// Requests that one task processes.
struct UnderWay {
    lane: Option<Arc<str>>,
    offsets: Vec<u64>,
}

/// Requests that are processed again, and when.
struct Deferred<R> {
    at: Instant,
    lane: Option<Arc<str>>,
    batch: Vec<InHand<R>>,
}

struct PartitionWork<'a, C: Consumer> {
    consumer: &'a C,
    log: &'a dyn Log,
    shared: &'a Handle,
    settings: ConsumerSettings,
    partition: u32,
    remembered: C::Partition,
    load: PartitionLoad<'a>,
    open: Open,
    parking: Parking,
    lanes: OrderedLanes<InHand<C::Request>>,
    running: JoinSet<Processed<C::Request>>,
    under_way: HashMap<Id, UnderWay>,
    later: Vec<Deferred<C::Request>>,
    early: EarlyOutputs,
    /// What goes into the next commit.
    outputs: Vec<NewRecord>,
    /// Outputs that wait for the records before theirs.
    behind: BTreeMap<u64, Vec<NewRecord>>,
    /// Who waits for the next commit to be durable.
    want_durable: Vec<oneshot::Sender<()>>,
    /// Records whose processing panicked.
    defects: Vec<u64>,
    busy_at: Instant,
}

impl<C: Consumer> PartitionWork<'_, C> {
    fn read(&mut self, record: Record) {
        self.busy_at = Instant::now();
        let offset = record.position.offset;
        let tenant: Arc<str> = String::from_utf8_lossy(&record.key).into();
        let open = self.open.begin(offset, &tenant, record.at_ms);
        let request = match self.parse(&record) {
            Parsed::Ignored => return self.end(offset, Vec::new()),
            Parsed::Dead(reason) => return self.bury(&record, &reason),
            Parsed::Request(request) => request,
        };
        let parked = self.parking.of(&tenant);
        if parked == 0 && self.has_room(open - 1) {
            self.take_in_hand(request, offset);
        } else if let Some(outputs) = self.consumer.refuse(&request, &record) {
            self.end(offset, outputs);
        } else {
            self.parking.push(tenant, offset);
        }
    }

    fn parse(&self, record: &Record) -> Parsed<C::Request> {
        let parsed = catch_unwind(AssertUnwindSafe(|| self.consumer.parse(record)));
        parsed.unwrap_or_else(|_| Parsed::Dead(DEFECT.to_owned()))
    }

    /// Every tenant may have one in hand, however many others have.
    fn has_room(&self, own: usize) -> bool {
        let ConsumerSettings { in_hand_max, in_hand_of_tenant_max, .. } = self.settings;
        own == 0 || (own < in_hand_of_tenant_max && self.load.in_hand_of_all() < in_hand_max)
    }

    fn take_in_hand(&mut self, request: C::Request, offset: u64) {
        self.load.taken();
        let lane = self.consumer.lane(&request);
        let in_hand = InHand { request, offset, early: self.early.clone() };
        match lane {
            Some(lane) => self.lanes.push(lane, in_hand),
            None => self.begin(None, vec![in_hand]),
        }
    }

    /// Begins what waits no longer: for its time, or for what was before it.
    fn begin_waiting(&mut self) {
        let now = Instant::now();
        for deferred in self.later.extract_if(.., |deferred| deferred.at <= now).collect::<Vec<_>>() {
            match deferred.lane {
                Some(lane) => self.lanes.back(lane, deferred.batch),
                None => deferred.batch.into_iter().for_each(|in_hand| self.begin(None, vec![in_hand])),
            }
        }
        let joins = |before: &InHand<_>, next: &InHand<_>| self.consumer.joins(&before.request, &next.request);
        while let Some((lane, batch)) = self.lanes.next(self.settings.batch_max, joins) {
            self.begin(Some(lane), batch);
        }
    }

    fn begin(&mut self, lane: Option<Arc<str>>, batch: Vec<InHand<C::Request>>) {
        let offsets = batch.iter().map(|in_hand| in_hand.offset).collect();
        let (consumer, remembered) = (self.consumer, &mut self.remembered);
        let processing = catch_unwind(AssertUnwindSafe(move || consumer.process(remembered, batch)));
        let task = match processing {
            Ok(processing) => self.running.spawn_on(processing, self.shared),
            Err(panic) => self.running.spawn_on(async move { resume_unwind(panic) }, self.shared),
        };
        self.under_way.insert(task.id(), UnderWay { lane, offsets });
    }

    fn take(&mut self, ended: Result<(Id, Processed<C::Request>), JoinError>) {
        self.busy_at = Instant::now();
        let (id, processed) = match ended {
            Ok((id, processed)) => (id, Some(processed)),
            Err(error) => (error.id(), None),
        };
        let Some(UnderWay { lane, offsets }) = self.under_way.remove(&id) else { return };
        match processed {
            Some(Processed::Answered(outputs)) => {
                self.load.answered(offsets.len());
                // Outputs of several requests are committed with the last of them.
                let (mut outputs, last) = (outputs, offsets.len().saturating_sub(1));
                for (index, offset) in offsets.into_iter().enumerate() {
                    let own = if index == last { std::mem::take(&mut outputs) } else { Vec::new() };
                    self.end(offset, own);
                }
            }
            Some(Processed::NotYet(batch, wait)) => {
                let at = Instant::now() + wait;
                return self.later.push(Deferred { at, lane, batch });
            }
            Some(Processed::Abandoned) => return,
            None => {
                self.load.answered(offsets.len());
                self.defects.extend(offsets);
            }
        }
        lane.into_iter().for_each(|lane| self.lanes.end(lane));
    }

    /// A record is answered.
    fn end(&mut self, offset: u64, outputs: Vec<NewRecord>) {
        self.open.end(offset);
        match self.settings.commits {
            Commits::WhenAnswered => self.outputs.extend(outputs),
            Commits::WithPosition => _ = self.behind.insert(offset, outputs),
        }
    }

    fn bury(&mut self, record: &Record, reason: &str) {
        let letter = dead_letter(self.log, self.consumer.now_ms(), record, self.settings.name, reason);
        self.end(record.position.offset, letter);
    }

    async fn bury_defects(&mut self) -> Result<(), LogError> {
        for offset in std::mem::take(&mut self.defects) {
            match self.reread(offset).await?.into_iter().next() {
                Some(record) => self.bury(&record, DEFECT),
                None => self.end(offset, Vec::new()),
            }
        }
        Ok(())
    }

    fn write_early(&mut self, early: Early) {
        self.busy_at = Instant::now();
        self.outputs.extend(early.outputs);
        self.want_durable.extend(early.durable);
    }

    /// Reads again what was parked, where there is room for a good part of it.
    async fn unpark(&mut self) -> Result<(), LogError> {
        if self.parking.count() > 0 {
            for tenant in self.parking.tenants() {
                self.unpark_tenant(&tenant).await?;
            }
        }
        Ok(())
    }

    async fn unpark_tenant(&mut self, tenant: &Arc<str>) -> Result<(), LogError> {
        let own = self.own(tenant);
        if own > 0 && own > self.settings.in_hand_of_tenant_max * 3 / 4 {
            return Ok(());
        }
        let Some(first) = self.parking.first(tenant) else { return Ok(()) };
        let records = self.reread(first).await?;
        if records.is_empty() {
            let group = self.settings.group;
            tracing::error!(group, tenant = &**tenant, offset = first, "a record is gone before it was processed");
            self.parking.pop(tenant);
            self.end(first, Vec::new());
        }
        for record in records {
            let offset = record.position.offset;
            if self.parking.first(tenant) != Some(offset) || !self.has_room(self.own(tenant)) {
                continue;
            }
            self.parking.pop(tenant);
            match self.parse(&record) {
                Parsed::Request(request) => self.take_in_hand(request, offset),
                // It was a request when it was parked.
                Parsed::Ignored | Parsed::Dead(_) => self.end(offset, Vec::new()),
            }
        }
        Ok(())
    }

    /// How many of a tenant are in hand.
    fn own(&self, tenant: &str) -> usize {
        self.open.of(tenant).saturating_sub(self.parking.of(tenant))
    }

    /// A record that was read before, and what follows it; nothing if it is older
    /// than what is kept.
    async fn reread(&self, offset: u64) -> Result<Vec<Record>, LogError> {
        let from = Start::Offset(offset);
        let read = match self.log.read(self.settings.topic, self.partition, from, Visibility::Durable).await {
            Ok(mut reader) => reader.ready(RECORDS_AT_ONCE).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(records) if records.first().is_some_and(|record| record.position.offset == offset) => Ok(records),
            Ok(_) | Err(LogError::Gone { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn patience(&self) -> Duration {
        if !self.under_way.is_empty() {
            let is_busy = self.busy_at.elapsed() < BUSY;
            return if is_busy { PATIENCE_BUSY } else { PATIENCE_WAITING };
        }
        let next = self.later.iter().map(|deferred| deferred.at.saturating_duration_since(Instant::now())).min();
        next.map_or(PATIENCE_IDLE, |next| next.clamp(PATIENCE_BUSY, PATIENCE_IDLE))
    }

    async fn commit(&mut self, session: &mut dyn Session) -> Result<(), LogError> {
        self.load.parked(self.parking.count());
        self.load.oldest(self.open.oldest_ms());
        let next = self.open.advance();
        if let Some(next) = next {
            let later = self.behind.split_off(&next);
            self.outputs.extend(std::mem::replace(&mut self.behind, later).into_values().flatten());
        }
        let next_offsets: Vec<_> = next.map(|next| (self.settings.topic, next)).into_iter().collect();
        if self.outputs.is_empty() && next_offsets.is_empty() {
            return Ok(());
        }
        session.commit(Batch { outputs: std::mem::take(&mut self.outputs), next_offsets }).await?;
        if !self.want_durable.is_empty() {
            session.settle().await?;
            // One whose request is gone by now needs no answer.
            self.want_durable.drain(..).for_each(|durable| _ = durable.send(()));
        }
        Ok(())
    }
}
