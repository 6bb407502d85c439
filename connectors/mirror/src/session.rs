//! One partition's commands: read, handed to the scheduler, and their claims and
//! ends committed with how far the group is.
//!
//! Only so many of a tenant are in hand. Further ones are parked: their offsets
//! are remembered, and they are read again when there is room, in their order.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use pipeline::{
    ports::{Batch, Log, LogError, NewRecord, Record, Session, Start, Visibility},
    topics::Topic,
    turn::Turn,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    claims::{Claims, Known, command, stage, written},
    job::{Ended, Job, Said},
    role::GROUP,
    scheduler::{Bench, Order},
};
use runtime::{acts, in_flight::Open, kill_switch::switch::act_record};

/// Commands of one partition between the oldest that has not ended and the
/// newest that was read. An offset each, but a crash reads all of them again.
const OPEN_MAX: usize = 200_000;
/// Commands that are read at once.
const RECORDS_AT_ONCE: usize = 256;
/// How long a poll waits while nothing happens: how late a stop is heard; while
/// something waits for its time; and while something happens: how late a claim
/// or an end is committed.
const PATIENCE_IDLE: Duration = Duration::from_millis(250);
const PATIENCE_WAITING: Duration = Duration::from_millis(5);
const PATIENCE_BUSY: Duration = Duration::from_millis(2);
/// Something happened so lately that more will.
const BUSY: Duration = Duration::from_millis(100);
/// How long calls under way may go on after a stop. What became of the others is
/// looked for at the next start.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Works on the session's partition until it is fenced, the log fails, or
/// `stop` says so.
pub(super) async fn drive(
    session: &mut dyn Session,
    log: &dyn Log,
    bench: &Bench,
    orders: &mpsc::UnboundedSender<Order>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), LogError> {
    let partition = session.partition();
    let lags = log.lag(GROUP, &[Topic::MirrorCommands]).await?;
    let lag = lags.iter().find(|lag| lag.partition == partition);
    let from = lag.and_then(|lag| lag.group_offset).unwrap_or_default();
    let claims = Claims::read(log, partition, from).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut desk = Desk {
        bench,
        log,
        partition,
        orders,
        tell,
        claims,
        open: Open::default(),
        in_hand: HashMap::new(),
        parked: HashMap::new(),
        outputs: Vec::new(),
        claimed: Vec::new(),
        busy_at: Instant::now(),
    };
    while !stop() {
        while let Ok(said) = told.try_recv() {
            desk.hear(said);
        }
        desk.commit(session).await?;
        desk.unpark().await?;
        let patience = match desk.in_hand.is_empty() {
            true => PATIENCE_IDLE,
            false if desk.busy_at.elapsed() < BUSY => PATIENCE_BUSY,
            false => PATIENCE_WAITING,
        };
        let room = OPEN_MAX - desk.open.span().min(OPEN_MAX);
        if room == 0 {
            if let Ok(Some(said)) = timeout(patience, told.recv()).await {
                desk.hear(said);
            }
            continue;
        }
        for record in session.poll(room.min(RECORDS_AT_ONCE), patience).await? {
            desk.read(record);
        }
    }
    desk.tell = mpsc::unbounded_channel().0;
    let finishing = async {
        while let Some(said) = told.recv().await {
            // Nothing is begun any more.
            if let Said::End(ended) = said {
                desk.end(*ended);
            }
        }
    };
    let _ = timeout(STOP_GRACE, finishing).await;
    desk.commit(session).await?;
    session.settle().await
}

struct Desk<'a> {
    bench: &'a Bench,
    log: &'a dyn Log,
    partition: u32,
    orders: &'a mpsc::UnboundedSender<Order>,
    tell: mpsc::UnboundedSender<Said>,
    claims: Claims,
    open: Open,
    in_hand: HashMap<Arc<str>, usize>,
    /// Offsets of what is in the log and has its turn later.
    parked: HashMap<Arc<str>, VecDeque<u64>>,
    outputs: Vec<NewRecord>,
    /// Who waits for a claim to be durable.
    claimed: Vec<oneshot::Sender<()>>,
    busy_at: Instant,
}

impl Desk<'_> {
    fn read(&mut self, record: Record) {
        self.busy_at = Instant::now();
        let offset = record.position.offset;
        let tenant: Arc<str> = String::from_utf8_lossy(&record.key).into();
        self.open.begin(offset, &tenant);
        if self.parked.contains_key(&tenant) || !self.has_room(&tenant) {
            self.bench.parked.fetch_add(1, Relaxed);
            self.parked.entry(tenant).or_default().push_back(offset);
        } else {
            self.take_in_hand(tenant, record);
        }
    }

    /// Every tenant may have one in hand, however many others have.
    fn has_room(&self, tenant: &str) -> bool {
        let own = self.in_hand.get(tenant).copied().unwrap_or_default();
        let settings = &self.bench.settings;
        own == 0 || (own < settings.in_hand_of_tenant_max && self.bench.in_hand.load(Relaxed) < settings.in_hand_max)
    }

    fn take_in_hand(&mut self, tenant: Arc<str>, record: Record) {
        let offset = record.position.offset;
        let known = self.claims.take(offset);
        if known == Some(Known::Ended) {
            return self.open.end(offset);
        }
        let command = match command(&record) {
            Ok(command) => command,
            Err(reason) => {
                self.open.end(offset);
                return self.bury(&record, &reason);
            }
        };
        let claimed_ms = match known {
            Some(Known::Claimed(at_ms)) => Some(at_ms),
            _ => None,
        };
        let mut job = Job::new(command, record, claimed_ms, self.tell.clone());
        if claimed_ms.is_some() {
            // What was under way then may land from now on.
            job.state.unsure_ms = Some(self.bench.now().as_ms());
        }
        self.bench.in_hand.fetch_add(1, Relaxed);
        *self.in_hand.entry(tenant).or_default() += 1;
        // Fails when the role is stopping, which ends the session, too.
        let _ = self.orders.send(Order::Do(Box::new(job)));
    }

    /// Reads again what was parked, where there is room for a good part of it.
    async fn unpark(&mut self) -> Result<(), LogError> {
        if self.parked.is_empty() {
            return Ok(());
        }
        let tenants: Vec<_> = self.parked.keys().cloned().collect();
        for tenant in tenants {
            let own = self.in_hand.get(&tenant).copied().unwrap_or_default();
            if own > 0 && own > self.bench.settings.in_hand_of_tenant_max * 3 / 4 {
                continue;
            }
            let Some(offset) = self.parked.get(&tenant).and_then(|parked| parked.front().copied()) else { continue };
            let from = Start::Offset(offset);
            let read = match self.log.read(Topic::MirrorCommands, self.partition, from, Visibility::Durable).await {
                Ok(mut reader) => reader.ready(RECORDS_AT_ONCE).await,
                Err(error) => Err(error),
            };
            let records = match read {
                Ok(records) => records,
                // Older than what is kept: nobody can do it any more.
                Err(LogError::Gone { .. }) => Vec::new(),
                Err(error) => return Err(error),
            };
            let is_there = records.iter().any(|record| record.position.offset == offset);
            if !is_there {
                tracing::error!(tenant = &*tenant, offset, "a command is gone from the log before it was done");
                self.unparked(&tenant);
                self.open.end(offset);
                continue;
            }
            for record in records {
                let next = self.parked.get(&tenant).and_then(|parked| parked.front().copied());
                if next == Some(record.position.offset) && self.has_room(&tenant) {
                    self.unparked(&tenant);
                    self.take_in_hand(Arc::clone(&tenant), record);
                }
            }
        }
        Ok(())
    }

    fn unparked(&mut self, tenant: &Arc<str>) {
        let Some(parked) = self.parked.get_mut(tenant) else { return };
        if parked.pop_front().is_some() {
            self.bench.parked.fetch_sub(1, Relaxed);
        }
        if parked.is_empty() {
            self.parked.remove(tenant);
        }
    }

    fn hear(&mut self, said: Said) {
        self.busy_at = Instant::now();
        match said {
            Said::Claim { offset, result, go } => {
                self.outputs.push(written(&result, offset, self.partition, None));
                self.claimed.push(go);
            }
            Said::CutOff(command) => {
                let act = acts::cut_off(&command, self.bench.now());
                self.outputs.push(act_record(&act, self.log.partitions()));
            }
            Said::End(ended) => self.end(*ended),
        }
    }

    fn end(&mut self, ended: Ended) {
        let Ended { command, record, result, grave, attempts } = ended;
        let offset = record.position.offset;
        self.open.end(offset);
        self.bench.in_hand.fetch_sub(1, Relaxed);
        let tenant = command.tenant_id.as_str();
        if let Some(count) = self.in_hand.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.in_hand.remove(tenant);
            }
        }
        let how = result.code.as_deref().unwrap_or(stage(result.stage));
        self.bench.counts.ends.with_label_values(&[command.work.provider(), how]).inc();
        if let Some(reason) = grave {
            let trace = command.trace_id.as_deref();
            tracing::warn!(
                tenant,
                command = command.id,
                trace,
                reason,
                attempts,
                "a command of the mirror could not be done"
            );
            self.bury(&record, &reason);
        }
        self.outputs.push(written(&result, offset, self.partition, Some(&record)));
    }

    fn bury(&mut self, record: &Record, reason: &str) {
        let mut turn = Turn {
            now_ms: self.bench.now().as_ms(),
            source: record.position,
            identity: self.log.identity(),
            partitions: self.log.partitions(),
            outputs: &mut self.outputs,
        };
        turn.bury(record, "mirror", reason);
    }

    async fn commit(&mut self, session: &mut dyn Session) -> Result<(), LogError> {
        let next = self.open.advance().map(|next| (Topic::MirrorCommands, next));
        let next_offsets: Vec<_> = next.into_iter().collect();
        if self.outputs.is_empty() && next_offsets.is_empty() {
            return Ok(());
        }
        session.commit(Batch { outputs: std::mem::take(&mut self.outputs), next_offsets }).await?;
        if !self.claimed.is_empty() {
            session.settle().await?;
            // One whose job is gone by now needs no answer.
            for go in self.claimed.drain(..) {
                let _ = go.send(());
            }
        }
        Ok(())
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        let in_hand: usize = self.in_hand.values().sum();
        let parked: usize = self.parked.values().map(VecDeque::len).sum();
        self.bench.in_hand.fetch_sub(in_hand, Relaxed);
        self.bench.parked.fetch_sub(parked, Relaxed);
    }
}
