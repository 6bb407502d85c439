//! One socket of one agent, as a state machine without a runtime.
//!
//! In: what the agent says, what is next for it in `agents.inbox`, and the time.
//! Out: what to tell it, what to write down of it, and when to cut it. What it
//! guarantees, whatever the order of its inputs: events are told in the order
//! of their numbers and without a gap (or a `resync` says that there is one),
//! an event that is not acknowledged is told again, and the agent's cursor
//! never passes an event that it may still have to be told.
//!
//! Nothing of an event is kept while its acknowledgement is waited for but its
//! numbers: to tell it again, the session reads again.

use std::collections::VecDeque;

use pipeline::event::{AckMode, AgentReady, ResumeFrom, ResyncReason};

use super::entry::Delivery;
pub use super::output::{Mark, Output, Reason, Say};

/// Times and bounds. Times are in milliseconds of a clock that only goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take for `agent_ready`.
    pub grace_ms: u64,
    /// After this an event that was not acknowledged is told again.
    pub ack_timeout_ms: u64,
    /// Events told and not acknowledged; beyond it nothing new is told.
    pub unacked_max: usize,
    /// How often the transport is pinged, and how long an answer may take.
    pub ping_interval_ms: u64,
    /// See there.
    pub ping_timeout_ms: u64,
    /// How often a live socket's presence is renewed.
    pub renew_ms: u64,
    /// A socket that was silent so long is offline.
    pub silent_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            grace_ms: 500,
            ack_timeout_ms: 30_000,
            unacked_max: 1_000,
            ping_interval_ms: 30_000,
            ping_timeout_ms: 10_000,
            renew_ms: 60_000,
            silent_ms: 90_000,
        }
    }
}

/// An event that was told.
#[derive(Debug)]
struct Told {
    seq: u64,
    /// What was done with before it.
    before: u64,
    /// What it was told to follow.
    prev_seq: u64,
    offset: u64,
    id_hash: u64,
    at_ms: u64,
    acked: bool,
}

/// What of the inbox a socket wants.
#[derive(Debug, Default)]
struct Filter {
    types: Option<Box<[String]>>,
    projects: Option<Box<[String]>>,
}

impl Filter {
    fn wants(&self, delivery: &Delivery) -> bool {
        let name = delivery.name();
        if matches!(name, "action_result" | "tool_result") {
            return true;
        }
        let kind = delivery.entry.kind.as_deref();
        let fits = |wanted: &String| wanted.eq_ignore_ascii_case(name) || Some(wanted.as_str()) == kind;
        let project = delivery.entry.project.as_deref();
        self.types.as_ref().is_none_or(|types| types.iter().any(fits))
            && self
                .projects
                .as_ref()
                .is_none_or(|wanted| project.is_none_or(|project| wanted.iter().any(|id| id == project)))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    epoch: u64,
    connected_ms: u64,
    heard_ms: u64,
    renewed_ms: u64,
    ping_ms: u64,
    pong_by_ms: Option<u64>,
    again_ms: Option<u64>,
    is_ready: bool,
    is_active: bool,
    is_silent: bool,
    acks: bool,
    callbacks: bool,
    filter: Option<Box<Filter>>,
    resume: Option<ResumeFrom>,
    /// Where the next record for the agent can be.
    position: u64,
    /// As far as it was read; beyond `position` while events are told again.
    highest: u64,
    /// The highest number seen.
    seen: u64,
    /// The highest number told.
    told: u64,
    /// Up to this the agent has what comes, it said.
    has: u64,
    unacked: VecDeque<Told>,
    advanced: Mark,
    /// How far the agent was when its events began to go here.
    began: Mark,
}

/// Offsets without anything for the agent, after which its cursor is moved all
/// the same: so that a later socket need not look through them again.
const SKIPPED_MAX: u64 = 4_096;

impl Session {
    /// A socket whose token was good. `mark` is how far the agent is, if it was
    /// here before.
    pub fn new(limits: Limits, epoch: u64, mark: Option<Mark>, now_ms: u64, out: &mut Vec<Output>) -> Session {
        let from = mark.unwrap_or_default();
        out.push(Output::Say(Say::Hello { seq: from.seq, epoch, resumed: mark.is_some() }));
        Session {
            limits,
            epoch,
            connected_ms: now_ms,
            heard_ms: now_ms,
            renewed_ms: now_ms,
            ping_ms: now_ms + limits.ping_interval_ms,
            pong_by_ms: None,
            again_ms: None,
            is_ready: false,
            is_active: false,
            is_silent: false,
            acks: false,
            callbacks: false,
            filter: None,
            resume: None,
            position: from.next_offset,
            highest: from.next_offset,
            seen: from.seq,
            told: from.seq,
            has: 0,
            unacked: VecDeque::new(),
            advanced: from,
            began: from,
        }
    }

    /// Whether the client wants Socket.IO's own acknowledgements.
    pub fn wants_callbacks(&self) -> bool {
        self.callbacks
    }

    /// Whether the socket takes events.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether it is this socket that its agent's events go to.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// `agent_ready`, the first one or another.
    pub fn ready(&mut self, ready: AgentReady, out: &mut Vec<Output>) {
        if let Some(other) = ready.protocol.filter(|protocol| protocol != pipeline::event::PROTOCOL) {
            let detail = format!("protocol {other:?} is not spoken here; {} is", pipeline::event::PROTOCOL);
            out.push(Output::Say(Say::Fault { code: "unknown_protocol", detail }));
            return out.push(Output::Cut(Reason::Protocol));
        }
        self.callbacks = matches!(&ready.ack, Some(AckMode::Named(mode)) if mode == "callback");
        self.acks = self.callbacks || matches!(ready.ack, Some(AckMode::Explicit(true)));
        self.filter =
            ready.subscribe.filter(|wanted| wanted.types.is_some() || wanted.project_ids.is_some()).map(|wanted| {
                let (types, projects) = (wanted.types.map(Vec::into), wanted.project_ids.map(Vec::into));
                Box::new(Filter { types, projects })
            });
        if !self.is_ready {
            // Counts from where delivery begins; later ones change the wishes.
            self.resume = ready.resume_from;
        }
        if !self.acks {
            self.flushed(out);
        }
        self.is_ready = true;
        out.push(Output::Claim);
    }

    /// This socket is the newest of its agent: its events go here from `mark`.
    pub fn activate(&mut self, mark: Option<Mark>, out: &mut Vec<Output>) {
        self.is_active = true;
        let mut from = mark.unwrap_or_default();
        if mark.is_some() && from.epoch != self.epoch {
            let say = Say::Resync { reason: ResyncReason::Epoch, epoch: self.epoch, from_seq: from.seq + 1 };
            out.push(Output::Say(say));
        }
        let has = match self.resume.take() {
            // A bare number was said after `hello`, which told the epoch.
            Some(ResumeFrom::Seq(seq)) => Some(seq),
            Some(ResumeFrom::Place { seq, epoch }) => (epoch == self.epoch).then_some(seq),
            None => None,
        };
        if let Some(seq) = has.filter(|seq| *seq < from.seq) {
            // Read again from the beginning of what is kept: where in the inbox
            // an older number stands, nobody has noted.
            from = Mark { seq, next_offset: 0, ..from };
        }
        // Believed of what comes by, but not noted as how far the agent is: a
        // number that nobody gave yet must not hide what will get it.
        self.has = has.unwrap_or_default();
        self.unacked.clear();
        self.again_ms = None;
        (self.position, self.highest) = (from.next_offset, from.next_offset);
        (self.seen, self.told) = (from.seq, from.seq);
        (self.advanced, self.began) = (mark.unwrap_or_default(), mark.unwrap_or_default());
        self.advance(out);
    }

    /// Another socket is newer now. What was told here may still be
    /// acknowledged.
    pub fn deactivate(&mut self) {
        self.is_active = false;
        self.again_ms = None;
    }

    /// How many more events it takes.
    pub fn room(&self) -> usize {
        if !self.is_active || self.is_silent {
            return 0;
        }
        // What is read again was counted already.
        let before = self.unacked.partition_point(|told| told.offset < self.position);
        self.limits.unacked_max.saturating_sub(before)
    }

    /// Where in the inbox it reads on.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What the inbox has next for it; the one after that can be at `next`.
    pub fn deliver(&mut self, deliveries: Vec<Delivery>, next: u64, now_ms: u64, out: &mut Vec<Output>) {
        for delivery in deliveries {
            self.deliver_one(delivery, now_ms, out);
        }
        self.position = self.position.max(next);
        self.highest = self.highest.max(self.position);
        self.advance(out);
    }

    fn deliver_one(&mut self, delivery: Delivery, now_ms: u64, out: &mut Vec<Output>) {
        let (seq, before) = (delivery.to().seq, delivery.to().prev_seq);
        if seq <= self.seen {
            return self.tell_again(delivery, now_ms, out);
        }
        if before > self.seen {
            let say = Say::Resync { reason: ResyncReason::Retention, epoch: self.epoch, from_seq: seq };
            out.push(Output::Say(say));
        }
        let before = std::mem::replace(&mut self.seen, seq);
        if seq <= self.has {
            self.told = seq;
            return;
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.wants(&delivery)) {
            return;
        }
        let prev_seq = std::mem::replace(&mut self.told, seq);
        let (offset, id_hash) = (delivery.entry.offset, delivery.entry.id_hash);
        self.unacked.push_back(Told { seq, before, prev_seq, offset, id_hash, at_ms: now_ms, acked: false });
        if self.acks {
            self.again_ms.get_or_insert(now_ms + self.limits.ack_timeout_ms);
        }
        out.push(Output::Say(Say::Event { delivery, prev_seq, again: false }));
    }

    fn tell_again(&mut self, delivery: Delivery, now_ms: u64, out: &mut Vec<Output>) {
        let Ok(place) = self.unacked.binary_search_by_key(&delivery.to().seq, |told| told.seq) else { return };
        let told = &mut self.unacked[place];
        if !told.acked && told.at_ms + self.limits.ack_timeout_ms <= now_ms {
            told.at_ms = now_ms;
            let prev_seq = told.prev_seq;
            out.push(Output::Say(Say::Event { delivery, prev_seq, again: true }));
        }
    }

    /// What comes next is older than what is kept: it begins at `first`.
    pub fn gone(&mut self, first: u64) {
        self.position = self.position.max(first);
        self.highest = self.highest.max(self.position);
        // What was told and cannot be read again can still be acknowledged.
    }

    /// All that was told is written. For a client that does not acknowledge,
    /// that is all that there is to wait for.
    pub fn flushed(&mut self, out: &mut Vec<Output>) {
        if !self.acks {
            self.unacked.clear();
            self.advance(out);
        }
    }

    /// `ack {seq}`: all up to it.
    pub fn ack_seq(&mut self, seq: u64, out: &mut Vec<Output>) {
        self.unacked.iter_mut().take_while(|told| told.seq <= seq).for_each(|told| told.acked = true);
        self.settle(out);
    }

    /// `ack {id}`, and Socket.IO's own for one event.
    pub fn ack_id(&mut self, id_hash: u64, out: &mut Vec<Output>) {
        if let Some(told) = self.unacked.iter_mut().find(|told| told.id_hash == id_hash) {
            told.acked = true;
            self.settle(out);
        }
    }

    /// Socket.IO's own acknowledgement of one event.
    pub fn ack_one(&mut self, seq: u64, out: &mut Vec<Output>) {
        if let Ok(place) = self.unacked.binary_search_by_key(&seq, |told| told.seq) {
            self.unacked[place].acked = true;
            self.settle(out);
        }
    }

    fn settle(&mut self, out: &mut Vec<Output>) {
        while self.unacked.front().is_some_and(|told| told.acked) {
            self.unacked.pop_front();
        }
        if self.unacked.is_empty() {
            // Nothing is left to be read again; and the list gives its room
            // back, because most sockets are idle most of the time.
            self.position = self.highest;
            self.again_ms = None;
            self.unacked.shrink_to(0);
        }
        self.advance(out);
    }

    /// How far the agent is for certain.
    pub fn mark(&self) -> Mark {
        let (seq, next_offset) = match self.unacked.front() {
            Some(told) => (told.before, told.offset),
            None => (self.seen, self.highest),
        };
        Mark { epoch: self.epoch, seq, next_offset }
    }

    fn advance(&mut self, out: &mut Vec<Output>) {
        let mark = self.mark();
        let last = self.advanced;
        if mark.seq > last.seq || mark.next_offset >= last.next_offset.saturating_add(SKIPPED_MAX) {
            self.advanced = mark;
            out.push(Output::Advance(mark));
        }
    }

    /// The last word on how far the agent is, when the socket ends: said even if
    /// it was said before, because outputs of a socket that ends in the middle
    /// of something may have been dropped.
    pub fn finish(&self) -> Option<Mark> {
        let mark = if self.is_active { self.mark() } else { self.advanced };
        (mark.next_offset > self.began.next_offset).then_some(mark)
    }

    /// Anything came from the agent: a frame, or the answer to a ping.
    pub fn heard(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.heard_ms = now_ms;
        self.pong_by_ms = None;
        if self.is_silent {
            self.is_silent = false;
            (self.renewed_ms, _) = (now_ms, out.push(Output::Renew));
        } else if self.is_ready && now_ms >= self.renewed_ms + self.limits.renew_ms {
            self.renewed_ms = now_ms;
            out.push(Output::Renew);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if !self.is_ready && now_ms >= self.connected_ms + self.limits.grace_ms {
            self.is_ready = true;
            out.push(Output::Claim);
        }
        if self.pong_by_ms.is_some_and(|by_ms| now_ms >= by_ms) {
            return out.push(Output::Cut(Reason::PingTimeout));
        }
        if now_ms >= self.ping_ms {
            self.ping_ms = now_ms + self.limits.ping_interval_ms;
            self.pong_by_ms.get_or_insert(now_ms + self.limits.ping_timeout_ms);
            out.push(Output::Ping);
        }
        if self.is_ready && !self.is_silent && now_ms >= self.heard_ms + self.limits.silent_ms {
            self.is_silent = true;
            out.push(Output::Silent);
        }
        if self.is_active && self.again_ms.is_some_and(|again_ms| now_ms >= again_ms) {
            let due = |told: &&Told| !told.acked && told.at_ms + self.limits.ack_timeout_ms <= now_ms;
            if let Some(first) = self.unacked.iter().find(due) {
                self.position = self.position.min(first.offset);
            }
            let rest = self.unacked.iter().filter(|told| !told.acked && !due(told));
            let next_ms = rest.map(|told| told.at_ms).min().unwrap_or(now_ms) + self.limits.ack_timeout_ms;
            self.again_ms = Some(next_ms);
        }
    }

    /// When [`Session::tick`] has something to do next.
    pub fn deadline_ms(&self) -> u64 {
        let grace = (!self.is_ready).then_some(self.connected_ms + self.limits.grace_ms);
        let silent = (self.is_ready && !self.is_silent).then_some(self.heard_ms + self.limits.silent_ms);
        let times = [grace, silent, self.pong_by_ms, self.again_ms.filter(|_| self.is_active)];
        times.into_iter().flatten().fold(self.ping_ms, u64::min)
    }

    /// The kill switch.
    pub fn stop(&mut self, reason: String, out: &mut Vec<Output>) {
        out.push(Output::Say(Say::Stopped { reason }));
        out.push(Output::Cut(Reason::Stopped));
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
