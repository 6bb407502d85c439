//! One partition of `agents.inbox`, as all sockets of this process read it.
//!
//! In: the partition's records, each read and parsed once. Out: for a socket at
//! any position, what is next for its agent. The newest records are kept in a
//! ring with an index by agent; a socket that is older than the ring waits for
//! a scan of the log that serves all who wait, so that ten thousand agents that
//! come back at once read the past a few times and not ten thousand times.
//!
//! Nothing is pushed: a socket holds its own position and takes what is next
//! when it has room, so that a slow one is in nobody's way.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{
    by_agent::{ByAgent, of_key},
    entry::{Delivery, Entry},
    seat::{Identity, Seat},
};

/// What is kept of the newest records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records in the ring.
    pub recent_max: usize,
    /// Bytes in the ring.
    pub recent_bytes_max: usize,
    /// Bytes that a scan may have in hand for those who wait.
    pub scan_bytes_max: usize,
}

/// Deliveries that a scan sets aside for one socket; then the socket takes them
/// and waits for the next scan, while this one goes on for the others.
const BACKLOG_MAX: usize = 256;

/// What there is for a socket.
#[derive(Debug)]
pub enum Taken {
    /// These, and where to read on. May be none, but further on.
    Some(Vec<Delivery>, u64),
    /// What comes next is gone; the oldest that is kept is here.
    Gone(u64),
    /// The socket is woken when there is something.
    Wait,
}

/// See the module.
pub struct Partition {
    bounds: Bounds,
    state: Mutex<State>,
    /// Somebody waits for a scan.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    lanes: ByAgent<Lane>,
    recent: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// From here on the ring has everything.
    first: u64,
    /// The offset of the next record.
    end: u64,
    behind: Vec<Arc<Identity>>,
    /// Where the scan is.
    scan: Option<u64>,
    scan_bytes: usize,
}

/// One agent.
struct Lane {
    /// The socket that its events go to.
    seat: Option<Arc<Seat>>,
    /// From here on `recent` has everything for this agent: an idle agent stays
    /// in touch though the ring moves on.
    since: u64,
    recent: VecDeque<Delivery>,
    backlog: Option<Box<Backlog>>,
}

/// What a scan sets aside.
struct Backlog {
    from: u64,
    /// In this round; one that begins before the scan waits for the next.
    joined: bool,
    found: VecDeque<Delivery>,
    /// Set when the round is over for this socket.
    result: Option<Found>,
}

enum Found {
    UpTo(u64),
    Gone(u64),
}

impl Lane {
    fn since(since: u64) -> Lane {
        Lane { seat: None, since, recent: VecDeque::new(), backlog: None }
    }
}

impl State {
    fn lane(&mut self, identity: &Identity) -> Option<&mut Lane> {
        self.lanes.get_mut(&identity.tenant, &identity.agent)
    }

    fn drop_if_unused(&mut self, tenant: &str, agent: &str) {
        let unused = |lane: &Lane| lane.seat.is_none() && lane.recent.is_empty() && lane.backlog.is_none();
        if self.lanes.get(tenant, agent).is_some_and(unused) {
            self.lanes.remove(tenant, agent);
        }
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.recent.pop_front() else { return };
        self.bytes -= entry.cost_bytes();
        self.first = entry.offset + 1;
        for to in &entry.to {
            if let Some(lane) = self.lanes.get_mut(&entry.tenant, &to.agent) {
                // An agent named twice in one record stands there twice.
                if lane.recent.front().is_some_and(|delivery| delivery.entry.offset == entry.offset) {
                    lane.recent.pop_front();
                    lane.since = entry.offset + 1;
                }
                if lane.recent.is_empty() {
                    lane.recent.shrink_to(0);
                    self.drop_if_unused(&entry.tenant, &to.agent);
                }
            }
        }
    }
}

impl Partition {
    /// One whose next record has this offset.
    pub fn new(bounds: Bounds, end: u64) -> Partition {
        let state = State { first: end, end, ..State::default() };
        Partition { bounds, state: Mutex::new(state), wanted: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset of the next record.
    pub fn end(&self) -> u64 {
        self.lock().end
    }

    /// The records before this one are no longer known; used when the partition
    /// is read anew.
    pub fn restart(&self, end: u64) {
        let mut state = self.lock();
        while !state.recent.is_empty() {
            state.forget_oldest();
        }
        (state.first, state.end) = (end, end);
        for lane in state.lanes.values_mut() {
            lane.since = end;
            lane.recent.clear();
            if let Some(seat) = &lane.seat {
                seat.wake();
            }
        }
    }

    /// New records, parsed; `next` follows the last one, parsed or not.
    pub fn push(&self, entries: Vec<Arc<Entry>>, next: u64) {
        let mut state = self.lock();
        let state = &mut *state;
        let first = state.first;
        for entry in entries {
            state.bytes += entry.cost_bytes();
            let mut lanes = (!entry.to.is_empty()).then(|| state.lanes.tenant_mut(&entry.tenant));
            for (place, to) in entry.to.iter().enumerate() {
                let Some(lanes) = lanes.as_mut() else { break };
                let lane = of_key(lanes, &to.agent, || Lane::since(first));
                lane.recent.push_back(Delivery { entry: Arc::clone(&entry), place: place as u32 });
                if let Some(seat) = &lane.seat {
                    seat.wake();
                }
            }
            state.recent.push_back(entry);
        }
        state.end = next;
        while state.recent.len() > self.bounds.recent_max || state.bytes > self.bounds.recent_bytes_max {
            state.forget_oldest();
        }
        if state.recent.is_empty() {
            state.first = next;
        }
    }

    /// This socket's agent's events go to this socket from now on.
    pub fn attach(&self, seat: &Arc<Seat>) {
        let mut state = self.lock();
        let (identity, first) = (&seat.identity, state.first);
        let lane = state.lanes.get_or(&identity.tenant, &identity.agent, || Lane::since(first));
        lane.seat = Some(Arc::clone(seat));
        lane.backlog = None;
    }

    /// They do not any more; does nothing when another socket took over.
    pub fn detach(&self, seat: &Arc<Seat>) {
        let mut state = self.lock();
        let Some(lane) = state.lane(&seat.identity) else { return };
        if lane.seat.as_ref().is_some_and(|current| Arc::ptr_eq(current, seat)) {
            (lane.seat, lane.backlog) = (None, None);
            state.drop_if_unused(&seat.identity.tenant, &seat.identity.agent);
        }
    }

    /// At most `max` of what is next for the agent at `from`.
    pub fn take(&self, seat: &Arc<Seat>, from: u64, max: usize) -> Taken {
        let mut state = self.lock();
        let (end, scan) = (state.end, state.scan);
        let Some(lane) = state.lane(&seat.identity) else { return Taken::Wait };
        if !lane.seat.as_ref().is_some_and(|current| Arc::ptr_eq(current, seat)) {
            return Taken::Wait;
        }
        if let Some(backlog) = &mut lane.backlog {
            return match backlog.result {
                None => Taken::Wait,
                Some(Found::Gone(first)) => {
                    lane.backlog = None;
                    Taken::Gone(first)
                }
                Some(Found::UpTo(next)) => {
                    let found: Vec<_> = backlog.found.drain(..backlog.found.len().min(max)).collect();
                    let next = if backlog.found.is_empty() { next } else { after(&found, from) };
                    if backlog.found.is_empty() {
                        lane.backlog = None;
                    }
                    let bytes: usize = found.iter().map(|delivery| delivery.entry.body.len()).sum();
                    state.scan_bytes = state.scan_bytes.saturating_sub(bytes);
                    Taken::Some(found, next)
                }
            };
        }
        if from < lane.since {
            let joined = scan.is_some_and(|scan| from >= scan);
            lane.backlog = Some(Box::new(Backlog { from, joined, found: VecDeque::new(), result: None }));
            state.behind.push(Arc::clone(&seat.identity));
            drop(state);
            self.wanted.notify_one();
            return Taken::Wait;
        }
        let start = lane.recent.partition_point(|delivery| delivery.entry.offset < from);
        let found: Vec<_> = lane.recent.range(start..).take(max).cloned().collect();
        match found.len() == max && start + max < lane.recent.len() {
            true => {
                let next = after(&found, from);
                Taken::Some(found, next)
            }
            false if found.is_empty() && from >= end => Taken::Wait,
            false => Taken::Some(found, end),
        }
    }

    /// Waits until somebody waits for a scan.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Begins a round of scanning: from where, if anybody waits.
    pub fn begin_scan(&self) -> Option<u64> {
        let mut state = self.lock();
        let behind = std::mem::take(&mut state.behind);
        let mut from = None::<u64>;
        for identity in &behind {
            let Some(backlog) = state.lane(identity).and_then(|lane| lane.backlog.as_mut()) else { continue };
            if backlog.result.is_none() {
                backlog.joined = true;
                from = Some(from.map_or(backlog.from, |from| from.min(backlog.from)));
            }
        }
        state.behind = behind;
        state.behind.retain(|_| from.is_some());
        state.scan = from;
        state.scan_bytes = 0;
        from
    }

    /// The scan cannot begin before `first`: who wanted older records is told.
    pub fn scan_gone(&self, first: u64) {
        self.end_backlogs(|backlog| (backlog.from < first).then_some(Found::Gone(first)));
    }

    /// What a scan read, and where it is now. True: the round goes on.
    pub fn scanned(&self, entries: &[Arc<Entry>], next: u64, at_end: bool) -> bool {
        let mut state = self.lock();
        let mut bytes = 0;
        for entry in entries {
            for (place, to) in entry.to.iter().enumerate() {
                let Some(lane) = state.lanes.get_mut(&entry.tenant, &to.agent) else { continue };
                let Some(backlog) = lane.backlog.as_mut().filter(|backlog| backlog.takes(entry.offset)) else {
                    continue;
                };
                bytes += entry.body.len();
                backlog.found.push_back(Delivery { entry: Arc::clone(entry), place: place as u32 });
                if backlog.found.len() >= BACKLOG_MAX {
                    backlog.result = Some(Found::UpTo(entry.offset + 1));
                    if let Some(seat) = &lane.seat {
                        seat.wake();
                    }
                }
            }
        }
        state.scan_bytes += bytes;
        state.scan = Some(next);
        let over = at_end || next >= state.first || state.scan_bytes > self.bounds.scan_bytes_max;
        drop(state);
        if over {
            self.end_backlogs(|backlog| backlog.joined.then(|| Found::UpTo(next.max(backlog.from))));
            self.lock().scan = None;
        }
        !over
    }

    /// Ends the wait of those for whom `result` has one.
    fn end_backlogs(&self, result: impl Fn(&Backlog) -> Option<Found>) {
        let mut state = self.lock();
        let mut behind = std::mem::take(&mut state.behind);
        behind.retain(|identity| {
            let Some(lane) = state.lane(identity) else { return false };
            let Some(backlog) = lane.backlog.as_mut().filter(|backlog| backlog.result.is_none()) else { return false };
            backlog.result = result(backlog);
            if backlog.result.is_some()
                && let Some(seat) = &lane.seat
            {
                seat.wake();
            }
            backlog.result.is_none()
        });
        state.behind = behind;
    }
}

impl Backlog {
    fn takes(&self, offset: u64) -> bool {
        self.joined && self.result.is_none() && offset >= self.from
    }
}

fn after(found: &[Delivery], from: u64) -> u64 {
    found.last().map_or(from, |last| last.entry.offset + 1)
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
