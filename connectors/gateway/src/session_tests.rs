//! Tests of the session: stories, and random interleavings of everything that
//! can happen to an agent.

use std::sync::Arc;

use pipeline::event::Subscribe;
use proptest::prelude::*;

use super::*;
use crate::entry::{Entry, To, hash_of};

const LIMITS: Limits = Limits {
    grace_ms: 500,
    ack_timeout_ms: 30_000,
    unacked_max: 4,
    ping_interval_ms: 30_000,
    ping_timeout_ms: 10_000,
    renew_ms: 60_000,
    silent_ms: 90_000,
};

fn entry(offset: u64, seq: u64, name: &str, project: Option<&str>) -> Delivery {
    let to = To { agent: "a".into(), seq, prev_seq: seq - 1, name: None };
    let entry = Entry {
        offset,
        tenant: "acme".into(),
        name: name.into(),
        kind: Some("MessagePosted".into()),
        project: project.map(Into::into),
        to: [to].into(),
        id_hash: hash_of(&format!("evt_{seq}")),
        body: "".into(),
    };
    Delivery { entry: Arc::new(entry), place: 0 }
}

fn acking() -> AgentReady {
    AgentReady { ack: Some(AckMode::Explicit(true)), ..AgentReady::default() }
}

/// An active session of an agent that acknowledges.
fn active(mark: Option<Mark>) -> (Session, Vec<Output>) {
    let mut out = Vec::new();
    let mut session = Session::new(LIMITS, 1, mark, 0, &mut out);
    session.ready(acking(), &mut out);
    session.activate(mark, &mut out);
    (session, out)
}

fn told(out: &mut Vec<Output>) -> Vec<(u64, u64)> {
    let event = |output| match output {
        Output::Say(Say::Event { delivery, prev_seq, .. }) => Some((delivery.to().seq, prev_seq)),
        _ => None,
    };
    out.drain(..).filter_map(event).collect()
}

fn marks(out: &[Output]) -> Vec<(u64, u64)> {
    let mark = |output: &Output| match output {
        Output::Advance(mark) => Some((mark.seq, mark.next_offset)),
        _ => None,
    };
    out.iter().filter_map(mark).collect()
}

#[test]
fn hello_comes_first_and_says_where_the_agent_is() {
    let mut out = Vec::new();
    Session::new(LIMITS, 3, Some(Mark { epoch: 3, seq: 7, next_offset: 9 }), 0, &mut out);
    assert!(matches!(out[..], [Output::Say(Say::Hello { seq: 7, epoch: 3, resumed: true })]));
    out.clear();
    Session::new(LIMITS, 3, None, 0, &mut out);
    assert!(matches!(out[..], [Output::Say(Say::Hello { seq: 0, epoch: 3, resumed: false })]));
}

#[test]
fn a_client_that_never_says_ready_is_ready_after_its_grace_and_needs_no_acknowledgements() {
    let mut out = Vec::new();
    let mut session = Session::new(LIMITS, 1, None, 0, &mut out);
    session.tick(499, &mut out);
    assert!(!session.is_ready());
    assert_eq!(session.deadline_ms(), 500);
    session.tick(500, &mut out);
    assert!(session.is_ready() && matches!(out.last(), Some(Output::Claim)));
    session.activate(None, &mut out);
    out.clear();
    session.deliver(vec![entry(10, 1, "wake_up", None)], 11, 600, &mut out);
    assert!(marks(&out).is_empty(), "not before it is written");
    session.flushed(&mut out);
    assert_eq!(marks(&out), [(1, 11)]);
}

#[test]
fn a_number_acknowledges_all_up_to_it_and_an_id_only_itself() {
    let (mut session, mut out) = active(None);
    session.deliver((1..=4).map(|seq| entry(seq * 10, seq, "wake_up", None)).collect(), 41, 0, &mut out);
    assert_eq!(session.room(), 0, "as many as may be open");
    out.clear();
    session.ack_id(hash_of("evt_3"), &mut out);
    assert!(marks(&out).is_empty());
    session.ack_seq(2, &mut out);
    assert_eq!(marks(&out), [(3, 40)], "up to the fourth, which is open");
    out.clear();
    session.ack_one(4, &mut out);
    assert_eq!(marks(&out), [(4, 41)]);
    assert_eq!(session.room(), 4);
}

#[test]
fn what_is_not_acknowledged_is_told_again_and_nothing_else_is() {
    let (mut session, mut out) = active(None);
    let entries = || (1..=3).map(|seq| entry(seq * 10, seq, "wake_up", None)).collect::<Vec<_>>();
    session.deliver(entries(), 31, 0, &mut out);
    session.ack_id(hash_of("evt_2"), &mut out);
    out.clear();
    session.heard(29_999, &mut out);
    session.tick(29_999, &mut out);
    assert_eq!(session.position(), 31);
    session.tick(30_000, &mut out);
    assert_eq!(session.position(), 10);
    session.deliver(entries(), 31, 30_000, &mut out);
    assert_eq!(told(&mut out), [(1, 0), (3, 2)], "with the numbers that they had");
    session.heard(59_000, &mut out);
    session.tick(59_000, &mut out);
    assert_eq!(session.position(), 31, "not before their time");
    session.ack_seq(3, &mut out);
    assert_eq!(session.mark(), Mark { epoch: 1, seq: 3, next_offset: 31 });
}

#[test]
fn the_number_before_is_that_of_the_subscription() {
    let mut out = Vec::new();
    let mut session = Session::new(LIMITS, 1, None, 0, &mut out);
    let subscribe = Subscribe {
        types: Some(vec!["TASK_ASSIGNED".to_owned(), "CommentPosted".to_owned()]),
        project_ids: Some(vec!["p1".to_owned()]),
    };
    session.ready(AgentReady { subscribe: Some(subscribe), ..acking() }, &mut out);
    session.activate(None, &mut out);
    out.clear();
    let entries = vec![
        entry(1, 1, "task_assigned", Some("p1")),
        entry(2, 2, "context_update", Some("p1")),
        entry(3, 3, "task_assigned", Some("p2")),
        entry(4, 4, "action_result", None),
        entry(5, 5, "task_assigned", None),
    ];
    session.deliver(entries, 6, 0, &mut out);
    assert_eq!(told(&mut out), [(1, 0), (4, 1), (5, 4)]);
    session.ack_seq(1, &mut out);
    assert_eq!(marks(&out), [(3, 4)], "what was not wanted is done with");
}

#[test]
fn a_gap_is_said() {
    let (mut session, mut out) = active(Some(Mark { epoch: 1, seq: 3, next_offset: 30 }));
    out.clear();
    session.gone(70);
    session.deliver(vec![entry(70, 8, "wake_up", None)], 71, 0, &mut out);
    let gap = &out[0];
    assert!(matches!(gap, Output::Say(Say::Resync { reason: ResyncReason::Retention, from_seq: 8, .. })), "{gap:?}");
    assert_eq!(told(&mut out), [(8, 3)]);
}

#[test]
fn a_new_epoch_is_said() {
    let mut out = Vec::new();
    let mark = Some(Mark { epoch: 1, seq: 3, next_offset: 30 });
    let mut session = Session::new(LIMITS, 2, mark, 0, &mut out);
    session.ready(acking(), &mut out);
    out.clear();
    session.activate(mark, &mut out);
    assert!(matches!(out[..], [Output::Say(Say::Resync { reason: ResyncReason::Epoch, epoch: 2, from_seq: 4 })]));
    session.deliver(vec![entry(31, 4, "wake_up", None)], 32, 0, &mut out);
    session.ack_seq(4, &mut out);
    assert_eq!(session.mark().epoch, 2);
}

#[test]
fn an_agent_may_know_better_where_it_is() {
    let mark = Some(Mark { epoch: 1, seq: 3, next_offset: 30 });
    for (resume, position, first_told) in [
        (ResumeFrom::Seq(5), 30, 6),
        (ResumeFrom::Seq(1), 0, 2),
        (ResumeFrom::Place { seq: 5, epoch: 1 }, 30, 6),
        (ResumeFrom::Place { seq: 5, epoch: 9 }, 30, 4),
    ] {
        let mut out = Vec::new();
        let mut session = Session::new(LIMITS, 1, mark, 0, &mut out);
        session.ready(AgentReady { resume_from: Some(resume.clone()), ..acking() }, &mut out);
        session.activate(mark, &mut out);
        assert_eq!(session.position(), position, "{resume:?}");
        out.clear();
        session.deliver((1..=7).map(|seq| entry(seq * 10, seq, "wake_up", None)).collect(), 71, 0, &mut out);
        let told = told(&mut out);
        assert_eq!(told[0], (first_told, first_told - 1), "{resume:?}");
    }
}

#[test]
fn another_protocol_is_refused() {
    let mut out = Vec::new();
    let mut session = Session::new(LIMITS, 1, None, 0, &mut out);
    session.ready(AgentReady { protocol: Some("nexus.v9".to_owned()), ..acking() }, &mut out);
    assert!(!session.is_ready() && matches!(out.last(), Some(Output::Cut(Reason::Protocol))));
}

#[test]
fn a_transport_without_a_pulse_is_cut_and_one_with_it_is_renewed() {
    let (mut session, mut out) = active(None);
    out.clear();
    session.tick(30_000, &mut out);
    assert!(matches!(out[..], [Output::Ping]));
    session.heard(31_000, &mut out);
    session.tick(60_000, &mut out);
    session.heard(60_500, &mut out);
    assert!(matches!(out[..], [Output::Ping, Output::Ping, Output::Renew]), "{out:?}");
    session.tick(90_000, &mut out);
    out.clear();
    session.tick(99_999, &mut out);
    assert!(out.is_empty());
    session.tick(100_000, &mut out);
    assert!(matches!(out[..], [Output::Cut(Reason::PingTimeout)]));
}

#[test]
fn a_silent_socket_is_offline_until_it_is_heard() {
    let limits = Limits { ping_interval_ms: 1_000_000, ..LIMITS };
    let mut out = Vec::new();
    let mut session = Session::new(limits, 1, None, 0, &mut out);
    session.ready(acking(), &mut out);
    session.activate(None, &mut out);
    out.clear();
    session.tick(90_000, &mut out);
    assert!(matches!(out[..], [Output::Silent]));
    assert_eq!(session.room(), 0);
    session.heard(95_000, &mut out);
    assert!(matches!(out[..], [Output::Silent, Output::Renew]));
    assert!(session.room() > 0);
}

#[test]
fn the_kill_switch_says_so() {
    let (mut session, mut out) = active(None);
    out.clear();
    session.stop("drill".to_owned(), &mut out);
    assert!(matches!(out[..], [Output::Say(Say::Stopped { .. }), Output::Cut(Reason::Stopped)]));
}

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    /// The pipeline tells the agent so many things, with so many of others'
    /// between them.
    Append(u8, u8),
    /// The socket takes what is next, at most so much.
    Take(u8),
    /// The client takes up what is on its way to it, and acknowledges some.
    Read { count: u8, acks: u8, by_id: bool },
    /// Time passes.
    Wait(u32),
    /// The socket ends; what is on its way is lost. A new one begins.
    Reconnect { acks: bool },
    /// The gateway dies: cursors that were not written are lost too.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..4_u8, 0..3_u8).prop_map(|(own, others)| Step::Append(own, others)),
        6 => (1..5_u8).prop_map(Step::Take),
        6 => (0..6_u8, 0..6_u8, any::<bool>()).prop_map(|(count, acks, by_id)| Step::Read { count, acks, by_id }),
        3 => (1..40_000_u32).prop_map(Step::Wait),
        2 => prop::bool::weighted(0.9).prop_map(|acks| Step::Reconnect { acks }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

/// An agent, its socket, and the log between them.
struct World {
    now_ms: u64,
    /// The inbox: the agent's numbers at the offsets that have one.
    inbox: Vec<Option<u64>>,
    last_seq: u64,
    session: Session,
    out: Vec<Output>,
    /// On its way to the client.
    wire: Vec<(u64, u64)>,
    /// The client's books.
    received: Vec<u64>,
    previous: u64,
    has: u64,
    unacked: Vec<u64>,
    acked: Vec<u64>,
    /// The cursor, as written and as only known.
    durable: Option<Mark>,
    known: Option<Mark>,
    acks: bool,
}

impl World {
    fn new() -> World {
        let (session, out) = active(None);
        let (inbox, wire, received) = (Vec::new(), Vec::new(), Vec::new());
        let (unacked, acked) = (Vec::new(), Vec::new());
        let mut world = World {
            now_ms: 0,
            inbox,
            last_seq: 0,
            session,
            out,
            wire,
            received,
            previous: 0,
            has: 0,
            unacked,
            acked,
            durable: None,
            known: None,
            acks: true,
        };
        world.perform();
        world
    }

    fn perform(&mut self) {
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                match output {
                    Output::Say(Say::Event { delivery, prev_seq, .. }) => self.wire.push((delivery.to().seq, prev_seq)),
                    Output::Say(Say::Resync { .. }) => panic!("there is no gap"),
                    Output::Advance(mark) => {
                        if let Some(known) = self.known {
                            assert!(mark.seq >= known.seq && mark.next_offset >= known.next_offset, "goes back");
                        }
                        self.known = Some(mark);
                    }
                    Output::Cut(reason) => panic!("{reason:?}"),
                    _ => {}
                }
            }
            if !self.acks {
                // Written is delivered: the client reads it at once.
                self.read(u8::MAX);
            }
            self.session.flushed(&mut self.out);
        }
    }

    fn take(&mut self, max: u8) {
        let max = self.session.room().min(usize::from(max));
        if max == 0 {
            return;
        }
        let from = self.session.position() as usize;
        let (mut found, mut next) = (Vec::new(), self.inbox.len() as u64);
        for offset in from..self.inbox.len() {
            if let Some(seq) = self.inbox[offset] {
                found.push(entry(offset as u64, seq, "wake_up", None));
                if found.len() == max {
                    next = offset as u64 + 1;
                    break;
                }
            }
        }
        self.session.deliver(found, next, self.now_ms, &mut self.out);
        self.perform();
    }

    fn read(&mut self, count: u8) {
        let count = self.wire.len().min(usize::from(count));
        for (seq, prev_seq) in self.wire.drain(..count).collect::<Vec<_>>() {
            if self.received.contains(&seq) {
                // Told again: to be acknowledged again, if it was not.
                if self.acks && !self.unacked.contains(&seq) {
                    self.unacked.push(seq);
                }
                continue;
            }
            assert_eq!(prev_seq, self.previous, "a gap before {seq}");
            assert_eq!(seq, self.has + 1, "out of order");
            (self.previous, self.has) = (seq, seq);
            self.received.push(seq);
            if self.acks {
                self.unacked.push(seq);
            }
        }
    }

    fn acknowledge(&mut self, count: u8, by_id: bool) {
        for _ in 0..count.min(self.unacked.len() as u8) {
            let place = if by_id { usize::from(count) % self.unacked.len() } else { 0 };
            let seq = self.unacked.remove(place);
            match by_id {
                true => self.session.ack_id(hash_of(&format!("evt_{seq}")), &mut self.out),
                false => self.session.ack_one(seq, &mut self.out),
            }
            if !self.acked.contains(&seq) {
                self.acked.push(seq);
            }
        }
        self.perform();
    }

    fn reconnect(&mut self, acks: bool) {
        if let Some(mark) = self.session.finish() {
            self.known = Some(mark);
        }
        self.begin(acks);
    }

    fn begin(&mut self, acks: bool) {
        (self.acks, self.wire) = (acks, Vec::new());
        self.unacked.clear();
        self.durable = self.known;
        self.session = Session::new(LIMITS, 1, self.known, self.now_ms, &mut self.out);
        let ready = if acks { acking() } else { AgentReady::default() };
        self.session.ready(ready, &mut self.out);
        self.session.activate(self.known, &mut self.out);
        self.perform();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append(own, others) => {
                for _ in 0..own {
                    self.inbox.extend((0..others).map(|_| None));
                    self.last_seq += 1;
                    self.inbox.push(Some(self.last_seq));
                }
            }
            Step::Take(max) => self.take(max),
            Step::Read { count, acks, by_id } => {
                self.read(count);
                if self.acks {
                    self.acknowledge(acks, by_id);
                }
            }
            Step::Wait(ms) => {
                self.now_ms += u64::from(ms);
                self.session.heard(self.now_ms, &mut self.out);
                self.session.tick(self.now_ms, &mut self.out);
                self.session.heard(self.now_ms, &mut self.out);
                self.perform();
            }
            Step::Reconnect { acks } => self.reconnect(acks),
            Step::Crash => {
                self.known = self.durable;
                self.begin(true);
            }
        }
        assert!(self.session.unacked.len() <= LIMITS.unacked_max);
    }
}

proptest! {
    #[test]
    fn whatever_happens_all_arrives_in_order_and_without_a_gap(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        // Then it is quiet, and the client does what it should.
        world.reconnect(true);
        for _ in 0..world.inbox.len() + 8 {
            world.step(&Step::Wait(30_000));
            world.step(&Step::Take(u8::MAX));
            world.step(&Step::Read { count: u8::MAX, acks: u8::MAX, by_id: false });
        }
        let all: Vec<u64> = (1..=world.last_seq).collect();
        prop_assert_eq!(&world.received, &all);
        prop_assert_eq!(world.session.mark().seq, world.last_seq);
        let mut out = Vec::new();
        world.session.tick(world.now_ms + 1, &mut out);
        prop_assert!(world.session.unacked.is_empty());
    }
}
